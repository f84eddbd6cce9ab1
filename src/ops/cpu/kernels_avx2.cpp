#define LOCKSTEP_SIMD 2
#define LOCKSTEP_KERNELS kAvx2Kernels
#include "ops/cpu/kernels_table.inl"
