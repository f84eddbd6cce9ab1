// V, I, M and D of simd.h as pairs of AVX2 registers. Included by simd.h only.
#pragma once
#include <immintrin.h>

namespace lockstep::ops {
namespace {

struct V {
  __m256 low, high;
};  // 16 floats
struct I {
  __m256i low, high;
};  // 16 times 32 bits
struct M {
  __m256 low, high;
};  // 16 truth values: all bits of a lane
struct D {
  __m256d x[4];
};  // 16 doubles

// First lanes set: a window into this table.
alignas(64) constexpr std::int32_t kFirstLanes[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                                      -1, -1, -1, -1, -1, 0,  0,  0,  0,  0,  0,
                                                      0,  0,  0,  0,  0,  0,  0,  0,  0,  0};
LOCKSTEP_INLINE __m256i half_mask(int n, int half) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kFirstLanes + 16 - n + 8 * half));
}

LOCKSTEP_INLINE V splat(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
LOCKSTEP_INLINE V load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
LOCKSTEP_INLINE void store(float* p, V v) {
  _mm256_storeu_ps(p, v.low);
  _mm256_storeu_ps(p + 8, v.high);
}
LOCKSTEP_INLINE M first_lanes(int n) {
  return {_mm256_castsi256_ps(half_mask(n, 0)), _mm256_castsi256_ps(half_mask(n, 1))};
}
LOCKSTEP_INLINE V load_part(const float* p, int n) {
  return {_mm256_maskload_ps(p, half_mask(n, 0)), _mm256_maskload_ps(p + 8, half_mask(n, 1))};
}
LOCKSTEP_INLINE void store_part(float* p, V v, int n) {
  _mm256_maskstore_ps(p, half_mask(n, 0), v.low);
  _mm256_maskstore_ps(p + 8, half_mask(n, 1), v.high);
}

LOCKSTEP_INLINE V operator+(V a, V b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
LOCKSTEP_INLINE V operator-(V a, V b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
LOCKSTEP_INLINE V operator*(V a, V b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
LOCKSTEP_INLINE V operator/(V a, V b) {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
LOCKSTEP_INLINE V fma(V a, V b, V c) {  // a b + c
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
LOCKSTEP_INLINE V sqrt(V a) { return {_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high)}; }
// Both give b where either is NaN.
LOCKSTEP_INLINE V min(V a, V b) {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
LOCKSTEP_INLINE V max(V a, V b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}

// Comparisons are false where either is NaN.
LOCKSTEP_INLINE M operator<(V a, V b) {
  return {_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)};
}
LOCKSTEP_INLINE M operator<=(V a, V b) {
  return {_mm256_cmp_ps(a.low, b.low, _CMP_LE_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_LE_OQ)};
}
LOCKSTEP_INLINE M operator==(V a, V b) {
  return {_mm256_cmp_ps(a.low, b.low, _CMP_EQ_OQ), _mm256_cmp_ps(a.high, b.high, _CMP_EQ_OQ)};
}
LOCKSTEP_INLINE V select(M m, V yes, V no) {
  return {_mm256_blendv_ps(no.low, yes.low, m.low), _mm256_blendv_ps(no.high, yes.high, m.high)};
}

LOCKSTEP_INLINE I splat_int(std::int32_t a) { return {_mm256_set1_epi32(a), _mm256_set1_epi32(a)}; }
LOCKSTEP_INLINE I load_int(const std::uint32_t* p) {
  const auto* q = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
LOCKSTEP_INLINE I bits(V a) { return {_mm256_castps_si256(a.low), _mm256_castps_si256(a.high)}; }
LOCKSTEP_INLINE V from_bits(I a) {
  return {_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)};
}
LOCKSTEP_INLINE V to_float(I a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
LOCKSTEP_INLINE I operator+(I a, I b) {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
LOCKSTEP_INLINE I operator-(I a, I b) {
  return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}
LOCKSTEP_INLINE I operator&(I a, I b) {
  return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
}
LOCKSTEP_INLINE I operator|(I a, I b) {
  return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
}
LOCKSTEP_INLINE I operator^(I a, I b) {
  return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
}
template <int k>
LOCKSTEP_INLINE I shift_left(I a) {
  return {_mm256_slli_epi32(a.low, k), _mm256_slli_epi32(a.high, k)};
}
template <int k>
LOCKSTEP_INLINE I shift_right(I a) {  // signed
  return {_mm256_srai_epi32(a.low, k), _mm256_srai_epi32(a.high, k)};
}
LOCKSTEP_INLINE __m256 half_at_least(__m256i a, __m256i b) {
  return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_max_epu32(a, b), a));
}
LOCKSTEP_INLINE M at_least_unsigned(I a, I b) {
  return {half_at_least(a.low, b.low), half_at_least(a.high, b.high)};
}

LOCKSTEP_INLINE void half_multiply(__m256i a, __m256i b, __m256i& low, __m256i& high) {
  const __m256i even = _mm256_mul_epu32(a, b);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
  low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}
// low and high 32 bits of the 64-bit products of unsigned lanes.
LOCKSTEP_INLINE void multiply_wide(I a, I b, I& low, I& high) {
  half_multiply(a.low, b.low, low.low, high.low);
  half_multiply(a.high, b.high, low.high, high.high);
}

LOCKSTEP_INLINE void half_transpose(__m256& a, __m256& b, __m256& c, __m256& d) {
  const __m256 ab0 = _mm256_unpacklo_ps(a, b), ab1 = _mm256_unpackhi_ps(a, b);
  const __m256 cd0 = _mm256_unpacklo_ps(c, d), cd1 = _mm256_unpackhi_ps(c, d);
  a = _mm256_shuffle_ps(ab0, cd0, 0x44);
  b = _mm256_shuffle_ps(ab0, cd0, 0xEE);
  c = _mm256_shuffle_ps(ab1, cd1, 0x44);
  d = _mm256_shuffle_ps(ab1, cd1, 0xEE);
}
// Transposes the four 4 x 4 matrices whose rows lie in lanes 4k..4k+3 of a, b, c, d.
LOCKSTEP_INLINE void transpose4(V& a, V& b, V& c, V& d) {
  half_transpose(a.low, b.low, c.low, d.low);
  half_transpose(a.high, b.high, c.high, d.high);
}

LOCKSTEP_INLINE D splat_double(double a) {
  const __m256d x = _mm256_set1_pd(a);
  return {{x, x, x, x}};
}
LOCKSTEP_INLINE D load(const double* p) {
  return {{_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4), _mm256_loadu_pd(p + 8),
           _mm256_loadu_pd(p + 12)}};
}
LOCKSTEP_INLINE void store(double* p, D v) {
  for (int i = 0; i < 4; ++i) _mm256_storeu_pd(p + 4 * i, v.x[i]);
}
LOCKSTEP_INLINE D to_double(V a) {
  return {{_mm256_cvtps_pd(_mm256_castps256_ps128(a.low)),
           _mm256_cvtps_pd(_mm256_extractf128_ps(a.low, 1)),
           _mm256_cvtps_pd(_mm256_castps256_ps128(a.high)),
           _mm256_cvtps_pd(_mm256_extractf128_ps(a.high, 1))}};
}
LOCKSTEP_INLINE V to_float(D a) {
  return {_mm256_set_m128(_mm256_cvtpd_ps(a.x[1]), _mm256_cvtpd_ps(a.x[0])),
          _mm256_set_m128(_mm256_cvtpd_ps(a.x[3]), _mm256_cvtpd_ps(a.x[2]))};
}
LOCKSTEP_INLINE D operator+(D a, D b) {
  for (int i = 0; i < 4; ++i) a.x[i] = _mm256_add_pd(a.x[i], b.x[i]);
  return a;
}
LOCKSTEP_INLINE D operator-(D a, D b) {
  for (int i = 0; i < 4; ++i) a.x[i] = _mm256_sub_pd(a.x[i], b.x[i]);
  return a;
}
LOCKSTEP_INLINE D operator*(D a, D b) {
  for (int i = 0; i < 4; ++i) a.x[i] = _mm256_mul_pd(a.x[i], b.x[i]);
  return a;
}
LOCKSTEP_INLINE D fma(D a, D b, D c) {
  for (int i = 0; i < 4; ++i) a.x[i] = _mm256_fmadd_pd(a.x[i], b.x[i], c.x[i]);
  return a;
}

// Lanes i and i + 8, then i + 4, i + 2, i + 1: the same tree in every form.
LOCKSTEP_INLINE float sum(V a) {
  const __m256 x8 = _mm256_add_ps(a.low, a.high);
  const __m128 x4 = _mm_add_ps(_mm256_castps256_ps128(x8), _mm256_extractf128_ps(x8, 1));
  const __m128 x2 = _mm_add_ps(x4, _mm_movehl_ps(x4, x4));
  return _mm_cvtss_f32(_mm_add_ss(x2, _mm_shuffle_ps(x2, x2, 1)));
}
LOCKSTEP_INLINE float max_lane(V a) {  // no NaN
  const __m256 x8 = _mm256_max_ps(a.low, a.high);
  const __m128 x4 = _mm_max_ps(_mm256_castps256_ps128(x8), _mm256_extractf128_ps(x8, 1));
  const __m128 x2 = _mm_max_ps(x4, _mm_movehl_ps(x4, x4));
  return _mm_cvtss_f32(_mm_max_ss(x2, _mm_shuffle_ps(x2, x2, 1)));
}
LOCKSTEP_INLINE double sum(D a) {
  const __m256d x4 = _mm256_add_pd(_mm256_add_pd(a.x[0], a.x[2]), _mm256_add_pd(a.x[1], a.x[3]));
  const __m128d x2 = _mm_add_pd(_mm256_castpd256_pd128(x4), _mm256_extractf128_pd(x4, 1));
  return _mm_cvtsd_f64(_mm_add_sd(x2, _mm_unpackhi_pd(x2, x2)));
}

}  // namespace
}  // namespace lockstep::ops
