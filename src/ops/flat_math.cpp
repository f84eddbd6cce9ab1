#include "lockstep/ops/flat_math.h"

#include "lockstep/core/error.h"
#ifdef LOCKSTEP_CUDA
#include "ops/cuda/flat_math.h"
#endif

namespace lockstep::ops {

void add(Device& device, float* dst, const float* a, const float* b, std::int64_t n,
         [[maybe_unused]] Stream& stream) {
#ifdef LOCKSTEP_CUDA
  if (device.kind() == DeviceKind::kCuda) return add_cuda(dst, a, b, n, stream);
#endif
  LOCKSTEP_CHECK(device.kind() == DeviceKind::kCpu, "no sums for {}", device.name());
  add(dst, a, b, n);
}

void round_to_bf16(Device& device, float* dst, const float* x, std::int64_t n,
                   [[maybe_unused]] Stream& stream) {
#ifdef LOCKSTEP_CUDA
  if (device.kind() == DeviceKind::kCuda) return round_to_bf16_cuda(dst, x, n, stream);
#endif
  LOCKSTEP_CHECK(device.kind() == DeviceKind::kCpu, "no rounding for {}", device.name());
  round_to_bf16(dst, x, n);
}

std::unique_ptr<FlatUpdate> make_flat_update(Device& device, const ParameterTable& table,
                                             std::vector<BlockRun> runs) {
#ifdef LOCKSTEP_CUDA
  if (device.kind() == DeviceKind::kCuda) return make_cuda_update(device, table, std::move(runs));
#endif
  static_cast<void>(table), static_cast<void>(runs);
  LOCKSTEP_CHECK(device.kind() == DeviceKind::kCpu, "no updates for {}", device.name());
  return nullptr;
}

}  // namespace lockstep::ops
