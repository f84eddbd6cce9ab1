// Defines LOCKSTEP_KERNELS, the table of the form that LOCKSTEP_SIMD names.
#include "ops/cpu/activation_loops.inl"
#include "ops/cpu/batch_norm_loops.inl"
#include "ops/cpu/dropout_loops.inl"
#include "ops/cpu/kernels.h"
#include "ops/cpu/math_loops.inl"
#include "ops/cpu/row_norm_loops.inl"
#include "ops/cpu/simd.h"
#include "ops/cpu/softmax_loops.inl"
#include "ops/cpu/swiglu_loops.inl"
#include "ops/cpu/vector_loops.inl"

namespace lockstep::ops {

extern const Kernels LOCKSTEP_KERNELS;
const Kernels LOCKSTEP_KERNELS = {
    .add = add_loop,
    .sum_of_squares = sum_of_squares_loop,
    .round_to_bf16 = round_to_bf16_loop,
    .scale = scale_loop,
    .axpy = axpy_loop,
    .sgd = sgd_loop,
    .adam = adam_loop,
    .lamb_direction = lamb_direction_loop,
    .exp = exp_loop,
    .log = log_loop,
    .tanh = tanh_loop,
    .sigmoid = sigmoid_loop,
    .column_statistics = column_statistics,
    .normalise = normalise,
    .gradient_sums = gradient_sums,
    .input_gradient = input_gradient,
    .layer_norm_forward = layer_norm_forward,
    .layer_norm_backward = row_norm_backward<true>,
    .rms_norm_forward = rms_norm_forward,
    .rms_norm_backward = row_norm_backward<false>,
    .activation = {{nullptr, nullptr},
                   kActivationLoops<Relu>,
                   kActivationLoops<LeakyRelu>,
                   kActivationLoops<Gelu>,
                   kActivationLoops<GeluTanh>,
                   kActivationLoops<Silu>,
                   kActivationLoops<Tanh>,
                   kActivationLoops<Sigmoid>},
    .add_relu = add_relu_loop,
    .dropout = dropout_loop,
    .swiglu_forward = swiglu_forward,
    .swiglu_backward = swiglu_backward,
    .softmax_terms = softmax_terms_loop,
    .rank_of = rank_of_loop,
    .add_columns = add_columns_loop,
};

}  // namespace lockstep::ops
