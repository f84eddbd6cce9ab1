// Defines LOCKSTEP_DENSE_KERNELS, the table of the form that LOCKSTEP_SIMD names.
#include "ops/cpu/dense_kernels.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/dense_loops.inl"
#include "ops/cpu/linear_loops.inl"
#include "ops/cpu/pool_loops.inl"

namespace lockstep::ops {

extern const DenseKernels LOCKSTEP_DENSE_KERNELS;
const DenseKernels LOCKSTEP_DENSE_KERNELS = {
    .relu = relu_loop,
    .prepare_gradient = prepare_gradient_loop,
    .linear_gradient = linear_gradient_loop,
    .pack_panels = pack_panels_loop,
    .max_pool = max_pool_loop,
    .max_pool_backward = max_pool_backward_loop,
    .average_pool = average_pool_loop,
    .average_pool_backward = average_pool_backward_loop,
};

}  // namespace lockstep::ops
