#define LOCKSTEP_SIMD 2
#define LOCKSTEP_DENSE_KERNELS kDenseAvx2
#include "ops/cpu/dense_table.inl"
