#include "ops/cpu/attention_kernels.h"

#include "lockstep/ops/precision.h"
#include "ops/cpu/kernels.h"

namespace lockstep::ops {

extern const AttentionKernels kAttentionPlain, kAttentionPlainBf16, kAttentionAvx2,
    kAttentionAvx2Bf16, kAttentionAvx512, kAttentionAvx512Bf16, kAttentionAvx512OwnBf16;

// That of kernels(), so that a UseIsa holds here too.
const AttentionKernels& attention_kernels(bool bf16) {
  const Kernels* chosen = &kernels();
  if (chosen == &kernels(Isa::kAvx512)) {
    if (!bf16) return kAttentionAvx512;
    return has_bf16_arithmetic() ? kAttentionAvx512OwnBf16 : kAttentionAvx512Bf16;
  }
  if (chosen == &kernels(Isa::kAvx2)) return bf16 ? kAttentionAvx2Bf16 : kAttentionAvx2;
  return bf16 ? kAttentionPlainBf16 : kAttentionPlain;
}

}  // namespace lockstep::ops
