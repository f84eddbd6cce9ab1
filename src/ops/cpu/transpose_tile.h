// 16 x 16 transposes in registers. Included in *.inl files only.
#pragma once
#include "ops/cpu/simd.h"

namespace lockstep::ops {
namespace {

// Quarter j of a in quarter 0 of the j-th result, of b in quarter 1, of c in 2, of d in 3.
LOCKSTEP_INLINE void transpose_quarters(V& a, V& b, V& c, V& d) {
#if LOCKSTEP_SIMD == 512
  const __m512 ab_low = _mm512_shuffle_f32x4(a.x, b.x, 0x44);   // a0 a1 b0 b1
  const __m512 ab_high = _mm512_shuffle_f32x4(a.x, b.x, 0xEE);  // a2 a3 b2 b3
  const __m512 cd_low = _mm512_shuffle_f32x4(c.x, d.x, 0x44);
  const __m512 cd_high = _mm512_shuffle_f32x4(c.x, d.x, 0xEE);
  a.x = _mm512_shuffle_f32x4(ab_low, cd_low, 0x88);
  b.x = _mm512_shuffle_f32x4(ab_low, cd_low, 0xDD);
  c.x = _mm512_shuffle_f32x4(ab_high, cd_high, 0x88);
  d.x = _mm512_shuffle_f32x4(ab_high, cd_high, 0xDD);
#elif LOCKSTEP_SIMD == 2
  const V p = a, q = b, r = c, s = d;
  a = {_mm256_permute2f128_ps(p.low, q.low, 0x20), _mm256_permute2f128_ps(r.low, s.low, 0x20)};
  b = {_mm256_permute2f128_ps(p.low, q.low, 0x31), _mm256_permute2f128_ps(r.low, s.low, 0x31)};
  c = {_mm256_permute2f128_ps(p.high, q.high, 0x20), _mm256_permute2f128_ps(r.high, s.high, 0x20)};
  d = {_mm256_permute2f128_ps(p.high, q.high, 0x31), _mm256_permute2f128_ps(r.high, s.high, 0x31)};
#else
  const V in[4] = {a, b, c, d};
  V out[4];
  for (int j = 0; j < 4; ++j) {
    for (int i = 0; i < 16; ++i) out[j].x[i] = in[i / 4].x[4 * j + i % 4];
  }
  a = out[0], b = out[1], c = out[2], d = out[3];
#endif
}

LOCKSTEP_INLINE void transpose16(V (&t)[16]) {
#pragma GCC unroll 4
  for (int g = 0; g < 16; g += 4) transpose4(t[g], t[g + 1], t[g + 2], t[g + 3]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) transpose_quarters(t[i], t[i + 4], t[i + 8], t[i + 12]);
}

}  // namespace
}  // namespace lockstep::ops
