// One step of all ranks, played: what is given to whoever plays an exchange, and what comes back.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "lockstep/plan/simulate.h"
#include "plan/simulate_timeline.h"

namespace lockstep::plan {

// Seconds of a rank in one step; they add up to end - start.
struct RankStep {
  double start = 0, factor = 1;  // factor: what its work takes, of what it takes alone
  double compute = 0, fold = 0, exposed = 0, hidden = 0, data = 0, other = 0;
  double end = 0;
};

struct StepPlay {
  std::vector<RankStep> ranks;  // of those that are played, by position
  Timeline* timeline = nullptr;
};

class StepPlayer {
 public:
  virtual ~StepPlayer() = default;
  // From each rank's start (its data are there) to its end.
  virtual void play(StepPlay& step, std::int64_t number) = 0;
  virtual double bytes_sent(std::int64_t rank) const = 0;  // between nodes, in a step
  virtual double bytes_read(std::int64_t rank) const = 0;  // from peers of its node
};

// played: the ranks that stand for all, the first node's, where all are alike; else all.
std::unique_ptr<StepPlayer> make_lanes_player(const Job& job, const Machine& machine,
                                              const Layout& layout, std::int64_t played);
std::unique_ptr<StepPlayer> make_ring_player(const Job& job, const Machine& machine,
                                             const Layout& layout, std::int64_t played,
                                             const SimulateOptions& options);

}  // namespace lockstep::plan
