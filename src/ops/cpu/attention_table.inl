// Defines LOCKSTEP_ATTENTION_KERNELS, the table of the form that LOCKSTEP_SIMD names.
#include "ops/cpu/attention_backward.inl"

namespace lockstep::ops {

extern const AttentionKernels LOCKSTEP_ATTENTION_KERNELS;
const AttentionKernels LOCKSTEP_ATTENTION_KERNELS = {
    .forward = attention_forward,
    .backward = attention_backward,
};

}  // namespace lockstep::ops
