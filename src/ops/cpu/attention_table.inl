// The tables of the form that LOCKSTEP_SIMD names. W: Fp32Words or Bf16Words.
#include "ops/cpu/attention_backward.inl"

namespace lockstep::ops {
namespace {

template <class W>
constexpr AttentionKernels kAttentionLoops = {
    .forward = attention_forward<W>,
    .backward = attention_backward<W>,
};

}  // namespace
}  // namespace lockstep::ops
