#define LOCKSTEP_SIMD 512
#define LOCKSTEP_BF16 1
#include "ops/cpu/attention_table.inl"

namespace lockstep::ops {

extern const AttentionKernels kAttentionAvx512OwnBf16;
const AttentionKernels kAttentionAvx512OwnBf16 = kAttentionLoops<Bf16Words>;

}  // namespace lockstep::ops
