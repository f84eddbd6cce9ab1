#define LOCKSTEP_SIMD 2
#define LOCKSTEP_ATTENTION_KERNELS kAttentionAvx2
#include "ops/cpu/attention_table.inl"
