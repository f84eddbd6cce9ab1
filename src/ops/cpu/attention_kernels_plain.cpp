#define LOCKSTEP_SIMD 0
#include "ops/cpu/attention_table.inl"

namespace lockstep::ops {

extern const AttentionKernels kAttentionPlain, kAttentionPlainBf16;
const AttentionKernels kAttentionPlain = kAttentionLoops<Fp32Words>;
const AttentionKernels kAttentionPlainBf16 = kAttentionLoops<Bf16Words>;

}  // namespace lockstep::ops
