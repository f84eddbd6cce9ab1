#include "train/precision.h"

#include "lockstep/core/isa.h"
#include "lockstep/core/log.h"
#include "lockstep/device/cuda.h"
#include "lockstep/ops/precision.h"

namespace lockstep::train {
namespace {

constexpr int kBf16Capability = 80;  // the first GPUs with bf16 products

ops::Precision precision_with(const Run& run, bool bf16) {
  return bf16 ? run.train.precision : ops::Precision::kFp32;
}

}  // namespace

ops::Precision precision_in_force(const Run& run, const Device& device) {
  if (device.kind() == DeviceKind::kCuda) return precision_on_cuda(run, cuda_capability(device));
  return precision_with(run, ops::has_bf16_arithmetic());
}

ops::Precision precision_on_cuda(const Run& run, int capability) {
  return precision_with(run, capability >= kBf16Capability);
}

void warn_of_precision(const Run& run, const Device& device) {
  if (precision_in_force(run, device) == run.train.precision) return;
  const std::string why =
      device.kind() == DeviceKind::kCuda
          ? fmt::format("{} has no bf16 arithmetic (sm_80 or newer)", device.name())
          : fmt::format("this machine, with {} instructions, has no bf16 arithmetic (AVX512_BF16)",
                        name_of(isa()));
  log::warn("train.precision = \"{}\" computes in fp32 here: {}", ops::name_of(run.train.precision),
            why);
}

}  // namespace lockstep::train
