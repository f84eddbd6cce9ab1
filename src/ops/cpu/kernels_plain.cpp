#define LOCKSTEP_SIMD 0
#define LOCKSTEP_KERNELS kPlainKernels
#include "ops/cpu/kernels_table.inl"
