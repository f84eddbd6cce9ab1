#define LOCKSTEP_SIMD 512
#define LOCKSTEP_KERNELS kAvx512Kernels
#include "ops/cpu/kernels_table.inl"
