#include "train/precision.h"

#include "lockstep/core/isa.h"
#include "lockstep/core/log.h"
#include "lockstep/ops/precision.h"

namespace lockstep::train {

ops::Precision precision_in_force(const Run& run) {
  return ops::has_bf16_arithmetic() ? run.train.precision : ops::Precision::kFp32;
}

void warn_of_precision(const Run& run) {
  if (precision_in_force(run) == run.train.precision) return;
  log::warn(
      "train.precision = \"{}\" computes in fp32 here: this machine, with {} instructions, has no "
      "bf16 arithmetic (AVX512_BF16)",
      ops::name_of(run.train.precision), name_of(isa()));
}

}  // namespace lockstep::train
