// exp, log, tanh and sigmoid of 16 floats. The polynomials are minimax fits of our own
// (Lawson's iteration on Chebyshev points in double); tests/ops/simd_math_test.cpp holds the
// measured errors against libm. Right at NaN, infinities, zeros and denormals. Included in *.inl
// files only.
#pragma once
#include "ops/cpu/simd.h"

namespace lockstep::ops {
namespace {

// c[0] + c[1] x + ... by Horner's rule.
template <int count>
LOCKSTEP_INLINE V polynomial(V x, const float (&c)[count]) {
  V r = splat(c[count - 1]);
  for (int i = count - 2; i >= 0; --i) r = fma(r, x, splat(c[i]));
  return r;
}

// x = n ln 2 + r, |r| <= ln 2 / 2; e^r = 1 + r + r^2 P(r). Overflows and becomes denormal where it
// should.
LOCKSTEP_INLINE V exp(V x) {
  constexpr float kP[] = {0.49999994f, 0.1666652f, 0.041668393f, 0.008368781f, 0.0013814467f};
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer
  x = max(splat(-104.0f), min(splat(89.0f), x));
  const V shifted = fma(x, splat(1.44269504f), splat(kRound));
  const V whole = shifted - splat(kRound);
  V r = fma(whole, splat(-0.693359375f), x);  // exact: 0.693359375 has 10 bits
  r = fma(whole, splat(2.12194440e-4f), r);
  const V e = fma(r * r, polynomial(r, kP), r) + splat(1.0f);
  return scale_by_power(e, whole);
}

// x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); s = f / (2 + f);
// log(1 + f) = f - f^2/2 + s (f^2/2 + s^2 P(s^2)).
LOCKSTEP_INLINE V log(V x) {
  constexpr float kP[] = {0.66666776f, 0.39977482f, 0.29873627f};
  constexpr std::int32_t kRootHalf = 0x3f3504f3, kOne = 0x3f800000;
  const V smallest = splat(1.17549435e-38f), infinity = splat(__builtin_inff());
  const M denormal = x < smallest;
  const V scaled = select(denormal, x * splat(33554432.0f), x);  // 2^25
  const I i = bits(scaled) + splat_int(kOne - kRootHalf);
  const V k =
      to_float(shift_right<23>(i) - splat_int(127)) - select(denormal, splat(25.0f), splat(0.0f));
  const V f = from_bits((i & splat_int(0x007fffff)) + splat_int(kRootHalf)) - splat(1.0f);
  const V s = f / (splat(2.0f) + f), s2 = s * s, half_f2 = splat(0.5f) * f * f;
  const V correction = fma(s, fma(s2, polynomial(s2, kP), half_f2), k * splat(9.05800061e-6f));
  V r = fma(k, splat(0.693138123f), f - (half_f2 - correction));
  r = select(x == infinity, infinity, r);
  r = select(x == splat(0.0f), -infinity, r);
  r = select(x < splat(0.0f), splat(__builtin_nanf("")), r);
  return select(x == x, r, x);
}

// x + x^3 P(x^2) near 0, else 1 - 2 / (e^2|x| + 1).
LOCKSTEP_INLINE V tanh(V x) {
  constexpr float kP[] = {-0.3333328f, 0.13331442f, -0.053739715f, 0.020639088f, -0.0057049873f};
  const V a = abs(x), x2 = x * x;
  const V near = fma(x * x2, polynomial(x2, kP), x);
  const V far = splat(1.0f) - splat(2.0f) / (exp(a + a) + splat(1.0f));
  return copy_sign(select(a < splat(0.625f), near, far), x);
}

// 1 / (1 + e^-x), from e^-|x| so that nothing overflows and small results keep their digits.
LOCKSTEP_INLINE V sigmoid(V x) {
  const V e = exp(-abs(x)), one = splat(1.0f);
  return select(x < splat(0.0f), e, one) / (one + e);
}

}  // namespace
}  // namespace lockstep::ops
