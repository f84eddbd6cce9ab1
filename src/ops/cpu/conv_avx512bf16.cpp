// The direct convolution kernels with factors rounded to bf16, by the processor's own products of
// pairs (AVX512_BF16), which it sums in fp32.
#define LOCKSTEP_SIMD 512
#include "ops/cpu/conv_pass.h"
#include "ops/cpu/simd.h"
#include "ops/cpu/conv_words.inl"

namespace lockstep::ops {
namespace {

struct Factor {
  static constexpr int kDepth = 2;  // input channels in a word
  static LOCKSTEP_INLINE V multiply_add(V in, V weight, V sum) {
    return {_mm512_dpbf16_ps(sum.x, reinterpret_cast<__m512bh>(in.x),
                             reinterpret_cast<__m512bh>(weight.x))};
  }
  static LOCKSTEP_INLINE V word(const V (&w)[2][kConvMostTaps], std::int64_t tap) {
    return pair_words(w[0][tap], w[1][tap]);
  }
};

}  // namespace
}  // namespace lockstep::ops

#include "ops/cpu/conv_rows.inl"
#include "ops/cpu/conv_gradient.inl"
#include "ops/cpu/conv_pack.inl"

namespace lockstep::ops {

const ConvKernels kConvAvx512Bf16 = {.pack = pack_pass,
                                     .run = run_pass,
                                     .gradient = set_gradient,
                                     .channel_words = channel_words_loop,
                                     .input_pairs = input_pairs_loop,
                                     .gradient_pairs = gradient_pairs_loop,
                                     .unpack = unpack_gradient};

}  // namespace lockstep::ops
