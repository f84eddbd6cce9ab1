#define LOCKSTEP_SIMD 512
#define LOCKSTEP_DENSE_KERNELS kDenseAvx512
#include "ops/cpu/dense_table.inl"
