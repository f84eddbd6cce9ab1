// A kernel with its memory, ready to be timed in both directions. Knows no clock.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "lockstep/device/device.h"
#include "lockstep/ops/op.h"

namespace lockstep::bench {

// All tensors lie several times in memory, as those of a model of so many such layers: what one
// layer reads, the others have pushed out of cache meanwhile, or not.
struct Trial {
  double forward = 0, backward = 0;  // work of a call, as the rates count it: flop, or bytes
  int sets = 1;
  // > 0: so many bytes are gone through before each call, which is timed alone: what the rest of a
  // step leaves in cache of a thing that is needed once a step.
  std::size_t between = 0;
  std::function<void(int set)> run_forward, run_backward;  // empty: there is none
  std::shared_ptr<Stream> stream;
};

// An op's tensors by their elements. A tensor of token numbers: vocabulary > 0.
struct OpShape {
  std::vector<std::int64_t> inputs;
  std::int64_t output = 0;
  std::vector<std::int64_t> parameters, statistics;
  std::int64_t vocabulary = 0;
};

// in_flops: whether its rates count flop. need_d_input false: of a layer that reads the data.
Trial op_trial(Device& device, std::unique_ptr<ops::Op> op, const OpShape& shape, bool in_flops,
               bool need_d_input = true);
// Packing of an op's weights.
Trial pack_trial(Device& device, std::unique_ptr<ops::Op> op, const OpShape& shape,
                 std::size_t between);

// Memory of the device with numbers in [-0.5, 0.5], or token numbers below `vocabulary`.
Buffer filled(Device& device, std::int64_t elements, Stream& stream, std::int64_t vocabulary = 0);

}  // namespace lockstep::bench
