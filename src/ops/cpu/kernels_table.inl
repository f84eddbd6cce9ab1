// Defines LOCKSTEP_KERNELS, the table of the form that LOCKSTEP_SIMD names.
#include "ops/cpu/kernels.h"
#include "ops/cpu/math_loops.inl"
#include "ops/cpu/simd.h"
#include "ops/cpu/vector_loops.inl"

namespace lockstep::ops {

extern const Kernels LOCKSTEP_KERNELS;
const Kernels LOCKSTEP_KERNELS = {
    .add = add_loop,
    .sum_of_squares = sum_of_squares_loop,
    .scale = scale_loop,
    .axpy = axpy_loop,
    .sgd = sgd_loop,
    .adam = adam_loop,
    .lamb_direction = lamb_direction_loop,
    .exp = exp_loop,
    .log = log_loop,
    .tanh = tanh_loop,
    .erf = erf_loop,
    .sigmoid = sigmoid_loop,
};

}  // namespace lockstep::ops
