#define LOCKSTEP_SIMD 0
#define LOCKSTEP_ATTENTION_KERNELS kAttentionPlain
#include "ops/cpu/attention_table.inl"
