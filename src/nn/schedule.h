// In which order the parts of a program's ops run: sweeps, in each of which a few ops that follow
// one another take turns slice by slice, so that activations are read while still in cache. Knows
// nothing of memory or of what an op computes.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "lockstep/ops/op.h"
#include "nn/lower.h"

namespace lockstep::nn {

enum class Part : std::uint8_t { kWhole, kGather, kSlice };

struct Stage {
  int op = 0;
  Part part = Part::kWhole;
};

// kAgain: a forward that repeats an earlier one between two backward sweeps.
enum class Direction : std::uint8_t { kForward, kAgain, kBackward };
inline constexpr int kDirections = 3;

// For each slice: its stages in order. A kWhole stage is alone in its sweep.
struct Sweep {
  std::int64_t slices = 1;
  Direction direction = Direction::kForward;
  std::vector<Stage> stages;
};

struct Schedule {
  std::vector<Sweep> forward, backward;  // backward holds the repeated forward sweeps too
  // Time counts sweeps: forward, then one unit for the loss, then backward. When an op begins (its
  // gather) and when it computes its output or d_inputs[0] and ends; -1 where it does not run.
  struct When {
    int begin = -1, end = -1;
    bool runs() const { return begin >= 0; }
  };
  std::vector<When> when[kDirections];  // per op
  int loss_time() const { return static_cast<int>(forward.size()); }
  std::int64_t slices_at(int time) const;
};

// again: the ops whose forward is repeated before the backward of their block (recompute.h).
Schedule make_schedule(const Lowered& lowered, const std::vector<std::unique_ptr<ops::Op>>& ops,
                       const std::vector<bool>& again);

}  // namespace lockstep::nn
