#define LOCKSTEP_SIMD 512
#include "ops/cpu/attention_table.inl"

namespace lockstep::ops {

extern const AttentionKernels kAttentionAvx512, kAttentionAvx512Bf16;
const AttentionKernels kAttentionAvx512 = kAttentionLoops<Fp32Words>;
const AttentionKernels kAttentionAvx512Bf16 = kAttentionLoops<Bf16Words>;

}  // namespace lockstep::ops
