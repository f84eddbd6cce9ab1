#define LOCKSTEP_SIMD 512
#define LOCKSTEP_ATTENTION_KERNELS kAttentionAvx512
#include "ops/cpu/attention_table.inl"
