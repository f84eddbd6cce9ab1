#define LOCKSTEP_SIMD 0
#define LOCKSTEP_DENSE_KERNELS kDensePlain
#include "ops/cpu/dense_table.inl"
