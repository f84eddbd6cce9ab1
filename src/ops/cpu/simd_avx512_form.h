// V, I, M and D of simd.h as AVX-512 registers. Included by simd.h only.
#pragma once
#include <immintrin.h>

namespace lockstep::ops {
namespace {

struct V {
  __m512 x;
};  // 16 floats
struct I {
  __m512i x;
};  // 16 times 32 bits
struct M {
  __mmask16 x;
};  // 16 truth values
struct D {
  __m512d low, high;
};  // 16 doubles

LOCKSTEP_INLINE V splat(float a) { return {_mm512_set1_ps(a)}; }
LOCKSTEP_INLINE V load(const float* p) { return {_mm512_loadu_ps(p)}; }
LOCKSTEP_INLINE void store(float* p, V v) { _mm512_storeu_ps(p, v.x); }
LOCKSTEP_INLINE M first_lanes(int n) { return {static_cast<__mmask16>((1u << n) - 1)}; }
LOCKSTEP_INLINE V load_part(const float* p, int n) {
  return {_mm512_maskz_loadu_ps(first_lanes(n).x, p)};
}
LOCKSTEP_INLINE void store_part(float* p, V v, int n) {
  _mm512_mask_storeu_ps(p, first_lanes(n).x, v.x);
}

LOCKSTEP_INLINE V operator+(V a, V b) { return {_mm512_add_ps(a.x, b.x)}; }
LOCKSTEP_INLINE V operator-(V a, V b) { return {_mm512_sub_ps(a.x, b.x)}; }
LOCKSTEP_INLINE V operator*(V a, V b) { return {_mm512_mul_ps(a.x, b.x)}; }
LOCKSTEP_INLINE V operator/(V a, V b) { return {_mm512_div_ps(a.x, b.x)}; }
LOCKSTEP_INLINE V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.x, b.x, c.x)}; }  // a b + c
LOCKSTEP_INLINE V sqrt(V a) { return {_mm512_sqrt_ps(a.x)}; }
// a 2^n for whole n, |n| < 256: rounded once where it becomes denormal.
LOCKSTEP_INLINE V scale_by_power(V a, V n) { return {_mm512_scalef_ps(a.x, n.x)}; }
// Both give b where either is NaN.
LOCKSTEP_INLINE V min(V a, V b) { return {_mm512_min_ps(a.x, b.x)}; }
LOCKSTEP_INLINE V max(V a, V b) { return {_mm512_max_ps(a.x, b.x)}; }

// Comparisons are false where either is NaN.
LOCKSTEP_INLINE M operator<(V a, V b) { return {_mm512_cmp_ps_mask(a.x, b.x, _CMP_LT_OQ)}; }
LOCKSTEP_INLINE M operator<=(V a, V b) { return {_mm512_cmp_ps_mask(a.x, b.x, _CMP_LE_OQ)}; }
LOCKSTEP_INLINE M operator==(V a, V b) { return {_mm512_cmp_ps_mask(a.x, b.x, _CMP_EQ_OQ)}; }
LOCKSTEP_INLINE V select(M m, V yes, V no) { return {_mm512_mask_blend_ps(m.x, no.x, yes.x)}; }

LOCKSTEP_INLINE I splat_int(std::int32_t a) { return {_mm512_set1_epi32(a)}; }
LOCKSTEP_INLINE I load_int(const std::uint32_t* p) { return {_mm512_loadu_si512(p)}; }
LOCKSTEP_INLINE I bits(V a) { return {_mm512_castps_si512(a.x)}; }
LOCKSTEP_INLINE V from_bits(I a) { return {_mm512_castsi512_ps(a.x)}; }
LOCKSTEP_INLINE V to_float(I a) { return {_mm512_cvtepi32_ps(a.x)}; }
LOCKSTEP_INLINE I operator+(I a, I b) { return {_mm512_add_epi32(a.x, b.x)}; }
LOCKSTEP_INLINE I operator-(I a, I b) { return {_mm512_sub_epi32(a.x, b.x)}; }
LOCKSTEP_INLINE I operator&(I a, I b) { return {_mm512_and_si512(a.x, b.x)}; }
LOCKSTEP_INLINE I operator|(I a, I b) { return {_mm512_or_si512(a.x, b.x)}; }
LOCKSTEP_INLINE I operator^(I a, I b) { return {_mm512_xor_si512(a.x, b.x)}; }
template <int k>
LOCKSTEP_INLINE I shift_left(I a) {
  return {_mm512_slli_epi32(a.x, k)};
}
template <int k>
LOCKSTEP_INLINE I shift_right(I a) {
  return {_mm512_srai_epi32(a.x, k)};
}  // signed
LOCKSTEP_INLINE M at_least_unsigned(I a, I b) { return {_mm512_cmpge_epu32_mask(a.x, b.x)}; }

// low and high 32 bits of the 64-bit products of unsigned lanes.
LOCKSTEP_INLINE void multiply_wide(I a, I b, I& low, I& high) {
  const __m512i even = _mm512_mul_epu32(a.x, b.x);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.x, 32), _mm512_srli_epi64(b.x, 32));
  low.x = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
  high.x = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
}

// Transposes the four 4 x 4 matrices whose rows lie in lanes 4k..4k+3 of a, b, c, d.
LOCKSTEP_INLINE void transpose4(V& a, V& b, V& c, V& d) {
  const __m512 ab0 = _mm512_unpacklo_ps(a.x, b.x), ab1 = _mm512_unpackhi_ps(a.x, b.x);
  const __m512 cd0 = _mm512_unpacklo_ps(c.x, d.x), cd1 = _mm512_unpackhi_ps(c.x, d.x);
  a.x = _mm512_shuffle_ps(ab0, cd0, 0x44);
  b.x = _mm512_shuffle_ps(ab0, cd0, 0xEE);
  c.x = _mm512_shuffle_ps(ab1, cd1, 0x44);
  d.x = _mm512_shuffle_ps(ab1, cd1, 0xEE);
}

LOCKSTEP_INLINE D splat_double(double a) { return {_mm512_set1_pd(a), _mm512_set1_pd(a)}; }
LOCKSTEP_INLINE D load(const double* p) { return {_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)}; }
LOCKSTEP_INLINE void store(double* p, D v) {
  _mm512_storeu_pd(p, v.low);
  _mm512_storeu_pd(p + 8, v.high);
}
LOCKSTEP_INLINE D to_double(V a) {
  return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.x)),
          _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.x, 1))};
}
LOCKSTEP_INLINE V to_float(D a) {
  return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.low)),
                             _mm512_cvtpd_ps(a.high), 1)};
}
LOCKSTEP_INLINE D operator+(D a, D b) {
  return {_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)};
}
LOCKSTEP_INLINE D operator-(D a, D b) {
  return {_mm512_sub_pd(a.low, b.low), _mm512_sub_pd(a.high, b.high)};
}
LOCKSTEP_INLINE D operator*(D a, D b) {
  return {_mm512_mul_pd(a.low, b.low), _mm512_mul_pd(a.high, b.high)};
}
LOCKSTEP_INLINE D fma(D a, D b, D c) {
  return {_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
}

// Lanes i and i + 8, then i + 4, i + 2, i + 1: the same tree in every form.
LOCKSTEP_INLINE float sum(V a) {
  const __m256 x8 = _mm256_add_ps(_mm512_castps512_ps256(a.x), _mm512_extractf32x8_ps(a.x, 1));
  const __m128 x4 = _mm_add_ps(_mm256_castps256_ps128(x8), _mm256_extractf128_ps(x8, 1));
  const __m128 x2 = _mm_add_ps(x4, _mm_movehl_ps(x4, x4));
  return _mm_cvtss_f32(_mm_add_ss(x2, _mm_shuffle_ps(x2, x2, 1)));
}
LOCKSTEP_INLINE float max_lane(V a) { return _mm512_reduce_max_ps(a.x); }  // no NaN
LOCKSTEP_INLINE double sum(D a) {
  const __m512d x8 = _mm512_add_pd(a.low, a.high);
  const __m256d x4 = _mm256_add_pd(_mm512_castpd512_pd256(x8), _mm512_extractf64x4_pd(x8, 1));
  const __m128d x2 = _mm_add_pd(_mm256_castpd256_pd128(x4), _mm256_extractf128_pd(x4, 1));
  return _mm_cvtsd_f64(_mm_add_sd(x2, _mm_unpackhi_pd(x2, x2)));
}

}  // namespace
}  // namespace lockstep::ops
