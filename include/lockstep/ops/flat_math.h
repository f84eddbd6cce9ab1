// What a program, an optimizer and a strategy do to long vectors on a device, in a stream's order:
// sums, and whole optimizer steps over a flat buffer. On the cpu the work is done at once, by the
// loops of vector.h. Knows no schedule, no lane, no rank.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lockstep/core/block_runs.h"
#include "lockstep/core/parameter_table.h"
#include "lockstep/device/device.h"
#include "lockstep/ops/vector.h"

namespace lockstep::ops {

// dst = a + b. dst may be a or b.
void add(Device& device, float* dst, const float* a, const float* b, std::int64_t n,
         Stream& stream);
// dst = x rounded to bf16, to nearest even, and back: the bits of round_to_bf16 in vector.h. dst
// may be x.
void round_to_bf16(Device& device, float* dst, const float* x, std::int64_t n, Stream& stream);

// What is updated, and what its statistics' sums are multiplied by: 1 / lanes that contributed.
struct FlatStep {
  float* parameters = nullptr;
  double statistics_scale = 1;
  bool packed = false;  // parameters lie as the state does; else as in the table
};

// One optimizer step over the blocks of some runs of a table in a few launches for each run: the
// bits of the loops that go block by block. The decay of a rule is that of kWeight parameters;
// others are spared. State lies as the runs say.
class FlatUpdate {
 public:
  // LAMB's norms go over whole parameters: values[2 b] and [2 b + 1] are sums of squares of the
  // blocks that are updated here, and everybody's when the call returns.
  using Share = std::function<void(std::span<double> values)>;

  virtual ~FlatUpdate() = default;
  // Where the folded gradient of each block lies, on the device. Before the first step.
  virtual void set_gradients(std::span<const float* const> blocks, Stream& stream) = 0;
  virtual void sgd(const FlatStep& step, const SgdStep& rule, float* momentum, Stream& stream) = 0;
  virtual void adam(const FlatStep& step, const AdamStep& rule, float* m, float* v,
                    Stream& stream) = 0;
  // share: empty where all blocks are updated here; else waits for the norms and calls it.
  virtual void lamb(const FlatStep& step, const AdamStep& rule, float* m, float* v,
                    const Share& share, Stream& stream) = 0;
  virtual std::size_t bytes() const = 0;  // of the device's memory
};

// Null on the cpu, where the caller goes block by block with the loops of vector.h: what has just
// been folded or updated is still in cache.
std::unique_ptr<FlatUpdate> make_flat_update(Device& device, const ParameterTable& table,
                                             std::vector<BlockRun> runs);

}  // namespace lockstep::ops
