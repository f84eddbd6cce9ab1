// The direct convolution kernels in fp32.
#define LOCKSTEP_SIMD 512
#include "ops/cpu/conv_pass.h"
#include "ops/cpu/simd.h"

namespace lockstep::ops {
namespace {

struct Factor {
  static constexpr int kDepth = 1;  // input channels in a word
  static LOCKSTEP_INLINE V multiply_add(V in, V weight, V sum) { return fma(in, weight, sum); }
  static LOCKSTEP_INLINE V word(const V (&w)[1][kConvMostTaps], std::int64_t tap) {
    return w[0][tap];
  }
};

}  // namespace
}  // namespace lockstep::ops

#include "ops/cpu/conv_rows.inl"
#include "ops/cpu/conv_gradient.inl"
#include "ops/cpu/conv_pack.inl"

namespace lockstep::ops {

const ConvKernels kConvAvx512 = {
    .pack = pack_pass, .run = run_pass, .gradient = set_gradient, .unpack = unpack_gradient};

}  // namespace lockstep::ops
