// Long vectors on a cuda device. Calls only give work to the stream.
#pragma once
#include <memory>

#include "lockstep/ops/flat_math.h"

namespace lockstep::ops {

void add_cuda(float* dst, const float* a, const float* b, std::int64_t n, Stream& stream);
void round_to_bf16_cuda(float* dst, const float* x, std::int64_t n, Stream& stream);
std::unique_ptr<FlatUpdate> make_cuda_update(Device& device, const ParameterTable& table,
                                             std::vector<BlockRun> runs);

}  // namespace lockstep::ops
