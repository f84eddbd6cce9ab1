#define LOCKSTEP_SIMD 2
#include "ops/cpu/attention_table.inl"

namespace lockstep::ops {

extern const AttentionKernels kAttentionAvx2, kAttentionAvx2Bf16;
const AttentionKernels kAttentionAvx2 = kAttentionLoops<Fp32Words>;
const AttentionKernels kAttentionAvx2Bf16 = kAttentionLoops<Bf16Words>;

}  // namespace lockstep::ops
