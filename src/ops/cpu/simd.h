// A vector of always 16 floats (V) in three forms: AVX-512, two AVX2 registers, or arrays. Kernels
// are written once against this header in *.inl files and compiled three times, each in a file of
// its own flags that first defines LOCKSTEP_SIMD as 512, 2 or 0.
//
// Everything here and in the *.inl files has internal linkage, and neither includes the standard
// library's templates: a function shared with other files might be the one built with AVX-512.
// The number of lanes and the order of every sum are the same in all forms; AVX2 and AVX-512 give
// the same bits, the plain form differs where it multiplies and adds without fusing.
#pragma once
#include <cstdint>

#define LOCKSTEP_INLINE __attribute__((always_inline)) inline

#ifndef LOCKSTEP_SIMD
#error "define LOCKSTEP_SIMD as 512, 2 or 0 before including simd.h"
#elif LOCKSTEP_SIMD == 512
#include "ops/cpu/simd_avx512_form.h"
#elif LOCKSTEP_SIMD == 2
#include "ops/cpu/simd_avx2_form.h"
#else
#include "ops/cpu/simd_plain_form.h"
#endif

namespace lockstep::ops {
namespace {

constexpr std::int64_t kWidth = 16;

// Which lanes of a vector lie in memory: all, or the first n (0 < n < 16) at the end of an array.
struct Whole {};
struct Part {
  int n;
};

LOCKSTEP_INLINE V load(const float* p, Whole) { return load(p); }
LOCKSTEP_INLINE V load(const float* p, Part lanes) { return load_part(p, lanes.n); }  // rest: +0
LOCKSTEP_INLINE void store(float* p, V v, Whole) { store(p, v); }
LOCKSTEP_INLINE void store(float* p, V v, Part lanes) { store_part(p, v, lanes.n); }
// Lanes beyond the end become +0, so that they do not count in a sum.
LOCKSTEP_INLINE V only(V v, Whole) { return v; }
LOCKSTEP_INLINE V only(V v, Part lanes) { return select(first_lanes(lanes.n), v, splat(0.0f)); }

// Calls f(i, Whole or Part) for each vector of n elements.
template <class F>
LOCKSTEP_INLINE void for_vectors(std::int64_t n, F f) {
  std::int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(i, Whole{});
  if (i < n) f(i, Part{static_cast<int>(n - i)});
}

#if LOCKSTEP_SIMD != 512
// a 2^n for whole n, |n| < 256, in two factors: rounded once where it becomes denormal, if a is in
// [1/2, 2].
LOCKSTEP_INLINE V scale_by_power(V a, V n) {
  const V round = splat(12582912.0f);  // 1.5 * 2^23: the sum's low bits are n
  const I whole = bits(n + round) - bits(round);
  const I half = shift_right<1>(whole), rest = whole - half, bias = splat_int(127);
  return a * from_bits(shift_left<23>(half + bias)) * from_bits(shift_left<23>(rest + bias));
}
#endif

LOCKSTEP_INLINE V& operator+=(V& a, V b) { return a = a + b; }
LOCKSTEP_INLINE V& operator*=(V& a, V b) { return a = a * b; }
LOCKSTEP_INLINE V operator-(V a) { return from_bits(bits(a) ^ splat_int(INT32_MIN)); }
LOCKSTEP_INLINE V abs(V a) { return from_bits(bits(a) & splat_int(INT32_MAX)); }
// |magnitude| with the sign of sign.
LOCKSTEP_INLINE V copy_sign(V magnitude, V sign) {
  const I sign_bit = splat_int(INT32_MIN);
  return from_bits((bits(sign) & sign_bit) | bits(abs(magnitude)));
}
LOCKSTEP_INLINE V relu(V a) { return max(splat(0.0f), a); }  // NaN stays NaN

}  // namespace
}  // namespace lockstep::ops
