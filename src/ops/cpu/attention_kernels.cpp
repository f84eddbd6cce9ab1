#include "ops/cpu/attention_kernels.h"

#include "ops/cpu/kernels.h"

namespace lockstep::ops {

extern const AttentionKernels kAttentionPlain, kAttentionAvx2, kAttentionAvx512;

// That of kernels(), so that a UseIsa holds here too.
const AttentionKernels& attention_kernels() {
  const Kernels* chosen = &kernels();
  if (chosen == &kernels(Isa::kAvx512)) return kAttentionAvx512;
  if (chosen == &kernels(Isa::kAvx2)) return kAttentionAvx2;
  return kAttentionPlain;
}

}  // namespace lockstep::ops
