// Words of the factors of a product (see gemm_kernels.h): how they are made of fp32 numbers and
// multiplied. Included in *.inl files only. LOCKSTEP_BF16 1: the processor's own bf16 instructions.
#pragma once
#include "ops/cpu/simd.h"

namespace lockstep::ops {
namespace {

struct Fp32Words {
  static constexpr int kNumbers = 1;  // in a word
  // Of `count` > 0 words that follow each other in memory, up to 16; the other lanes are +0.
  static LOCKSTEP_INLINE V along(const float* p, std::int64_t numbers) {
    return numbers >= kWidth ? load(p) : load_part(p, static_cast<int>(numbers));
  }
  // Word i of p[i] and, one step further in the inner dimension, next[i].
  template <class Lanes>
  static LOCKSTEP_INLINE V across(const float* p, const float* /*next*/, Lanes lanes) {
    return load(p, lanes);
  }
  static LOCKSTEP_INLINE V add_product(V a, V b, V sum) { return fma(a, b, sum); }
};

struct Bf16Words {
  static constexpr int kNumbers = 2;
#ifdef LOCKSTEP_BF16
  static LOCKSTEP_INLINE V join(V low, V high) {  // 32 numbers in order
    return {reinterpret_cast<__m512>(_mm512_cvtne2ps_pbh(high.x, low.x))};
  }
  static LOCKSTEP_INLINE V along(const float* p, std::int64_t numbers) {
    if (numbers >= 2 * kWidth) return join(load(p), load(p + kWidth));
    if (numbers <= kWidth) return join(load_part(p, static_cast<int>(numbers)), splat(0.0f));
    return join(load(p), load_part(p + kWidth, static_cast<int>(numbers - kWidth)));
  }
  static LOCKSTEP_INLINE V pair(V low, V high) {  // word i of low[i] and high[i]
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9,
                                           24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1,
                                           16, 0);
    const I words = {_mm512_permutexvar_epi16(order, bits(join(low, high)).x)};
    return from_bits(words);
  }
  static LOCKSTEP_INLINE V add_product(V a, V b, V sum) {
    return {_mm512_dpbf16_ps(sum.x, reinterpret_cast<__m512bh>(a.x),
                             reinterpret_cast<__m512bh>(b.x))};
  }
#else
  // To nearest, ties to even; a NaN stays one. In the low half.
  static LOCKSTEP_INLINE I round(V v) {
    const I x = bits(v);
    const I even = shift_right<16>(x) & splat_int(1);
    const I rounded = shift_right<16>(x + splat_int(0x7fff) + even) & splat_int(0xffff);
    const I nan = (shift_right<16>(x) | splat_int(0x40)) & splat_int(0xffff);
    return bits(select(v == v, from_bits(rounded), from_bits(nan)));
  }
  static LOCKSTEP_INLINE V pair(V low, V high) {  // word i of low[i] and high[i]
    return from_bits(round(low) | shift_left<16>(round(high)));
  }
  static LOCKSTEP_INLINE V along(const float* p, std::int64_t numbers) {
    float low[kWidth], high[kWidth];
    for (int i = 0; i < kWidth; ++i) {
      low[i] = 2 * i < numbers ? p[2 * i] : 0.0f;
      high[i] = 2 * i + 1 < numbers ? p[2 * i + 1] : 0.0f;
    }
    return pair(load(low), load(high));
  }
  static LOCKSTEP_INLINE V low(V words) { return from_bits(shift_left<16>(bits(words))); }
  static LOCKSTEP_INLINE V high(V words) {
    return from_bits(bits(words) & splat_int(static_cast<std::int32_t>(0xffff0000)));
  }
  static LOCKSTEP_INLINE V add_product(V a, V b, V sum) {
    return fma(high(a), high(b), fma(low(a), low(b), sum));
  }
#endif
  template <class Lanes>
  static LOCKSTEP_INLINE V across(const float* p, const float* next, Lanes lanes) {
    return pair(load(p, lanes), next != nullptr ? load(next, lanes) : splat(0.0f));
  }
};

}  // namespace
}  // namespace lockstep::ops
