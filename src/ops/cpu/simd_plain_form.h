// V, I, M and D of simd.h as arrays, for any machine: loops of 16 that the compiler vectorises as
// far as the base instruction set allows. Included by simd.h only.
#pragma once

namespace lockstep::ops {
namespace {

struct V {
  float x[16];
};
struct I {
  std::uint32_t x[16];
};
struct M {
  std::uint32_t x[16];
};  // 0 or all bits
struct D {
  double x[16];
};

#define LOCKSTEP_LANES for (int i = 0; i < 16; ++i)

LOCKSTEP_INLINE V splat(float a) {
  V r;
  LOCKSTEP_LANES r.x[i] = a;
  return r;
}
LOCKSTEP_INLINE V load(const float* p) {
  V r;
  LOCKSTEP_LANES r.x[i] = p[i];
  return r;
}
LOCKSTEP_INLINE void store(float* p, V v) { LOCKSTEP_LANES p[i] = v.x[i]; }
LOCKSTEP_INLINE M first_lanes(int n) {
  M r;
  LOCKSTEP_LANES r.x[i] = i < n ? ~0u : 0u;
  return r;
}
LOCKSTEP_INLINE V load_part(const float* p, int n) {
  V r = splat(0.0f);
  for (int i = 0; i < n; ++i) r.x[i] = p[i];
  return r;
}
LOCKSTEP_INLINE void store_part(float* p, V v, int n) {
  for (int i = 0; i < n; ++i) p[i] = v.x[i];
}

LOCKSTEP_INLINE V operator+(V a, V b) {
  LOCKSTEP_LANES a.x[i] += b.x[i];
  return a;
}
LOCKSTEP_INLINE V operator-(V a, V b) {
  LOCKSTEP_LANES a.x[i] -= b.x[i];
  return a;
}
LOCKSTEP_INLINE V operator*(V a, V b) {
  LOCKSTEP_LANES a.x[i] *= b.x[i];
  return a;
}
LOCKSTEP_INLINE V operator/(V a, V b) {
  LOCKSTEP_LANES a.x[i] /= b.x[i];
  return a;
}
LOCKSTEP_INLINE V fma(V a, V b, V c) {
  LOCKSTEP_LANES a.x[i] = a.x[i] * b.x[i] + c.x[i];
  return a;
}
LOCKSTEP_INLINE V sqrt(V a) {
  LOCKSTEP_LANES a.x[i] = __builtin_sqrtf(a.x[i]);
  return a;
}
// Both give b where either is NaN.
LOCKSTEP_INLINE V min(V a, V b) {
  LOCKSTEP_LANES a.x[i] = a.x[i] < b.x[i] ? a.x[i] : b.x[i];
  return a;
}
LOCKSTEP_INLINE V max(V a, V b) {
  LOCKSTEP_LANES a.x[i] = a.x[i] > b.x[i] ? a.x[i] : b.x[i];
  return a;
}

// Comparisons are false where either is NaN.
LOCKSTEP_INLINE M operator<(V a, V b) {
  M r;
  LOCKSTEP_LANES r.x[i] = a.x[i] < b.x[i] ? ~0u : 0u;
  return r;
}
LOCKSTEP_INLINE M operator<=(V a, V b) {
  M r;
  LOCKSTEP_LANES r.x[i] = a.x[i] <= b.x[i] ? ~0u : 0u;
  return r;
}
LOCKSTEP_INLINE M operator==(V a, V b) {
  M r;
  LOCKSTEP_LANES r.x[i] = a.x[i] == b.x[i] ? ~0u : 0u;
  return r;
}

LOCKSTEP_INLINE I splat_int(std::int32_t a) {
  I r;
  LOCKSTEP_LANES r.x[i] = static_cast<std::uint32_t>(a);
  return r;
}
LOCKSTEP_INLINE I load_int(const std::uint32_t* p) {
  I r;
  LOCKSTEP_LANES r.x[i] = p[i];
  return r;
}
LOCKSTEP_INLINE I bits(V a) {
  I r;
  __builtin_memcpy(&r, &a, sizeof r);
  return r;
}
LOCKSTEP_INLINE V from_bits(I a) {
  V r;
  __builtin_memcpy(&r, &a, sizeof r);
  return r;
}
LOCKSTEP_INLINE V to_float(I a) {
  V r;
  LOCKSTEP_LANES r.x[i] = static_cast<float>(static_cast<std::int32_t>(a.x[i]));
  return r;
}
LOCKSTEP_INLINE I operator+(I a, I b) {
  LOCKSTEP_LANES a.x[i] += b.x[i];
  return a;
}
LOCKSTEP_INLINE I operator-(I a, I b) {
  LOCKSTEP_LANES a.x[i] -= b.x[i];
  return a;
}
LOCKSTEP_INLINE I operator&(I a, I b) {
  LOCKSTEP_LANES a.x[i] &= b.x[i];
  return a;
}
LOCKSTEP_INLINE I operator|(I a, I b) {
  LOCKSTEP_LANES a.x[i] |= b.x[i];
  return a;
}
LOCKSTEP_INLINE I operator^(I a, I b) {
  LOCKSTEP_LANES a.x[i] ^= b.x[i];
  return a;
}
template <int k>
LOCKSTEP_INLINE I shift_left(I a) {
  LOCKSTEP_LANES a.x[i] <<= k;
  return a;
}
template <int k>
LOCKSTEP_INLINE I shift_right(I a) {  // signed
  LOCKSTEP_LANES a.x[i] = static_cast<std::uint32_t>(static_cast<std::int32_t>(a.x[i]) >> k);
  return a;
}
LOCKSTEP_INLINE M at_least_unsigned(I a, I b) {
  M r;
  LOCKSTEP_LANES r.x[i] = a.x[i] >= b.x[i] ? ~0u : 0u;
  return r;
}
LOCKSTEP_INLINE V select(M m, V yes, V no) {
  I y = bits(yes), n = bits(no);
  LOCKSTEP_LANES y.x[i] = (y.x[i] & m.x[i]) | (n.x[i] & ~m.x[i]);
  return from_bits(y);
}

// low and high 32 bits of the 64-bit products of unsigned lanes.
LOCKSTEP_INLINE void multiply_wide(I a, I b, I& low, I& high) {
  LOCKSTEP_LANES {
    const std::uint64_t product = std::uint64_t{a.x[i]} * b.x[i];
    low.x[i] = static_cast<std::uint32_t>(product);
    high.x[i] = static_cast<std::uint32_t>(product >> 32);
  }
}

// Transposes the four 4 x 4 matrices whose rows lie in lanes 4k..4k+3 of a, b, c, d.
LOCKSTEP_INLINE void transpose4(V& a, V& b, V& c, V& d) {
  V in[4] = {a, b, c, d}, out[4];
  for (int k = 0; k < 16; k += 4) {
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 4; ++j) out[i].x[k + j] = in[j].x[k + i];
    }
  }
  a = out[0], b = out[1], c = out[2], d = out[3];
}

LOCKSTEP_INLINE D splat_double(double a) {
  D r;
  LOCKSTEP_LANES r.x[i] = a;
  return r;
}
LOCKSTEP_INLINE D load(const double* p) {
  D r;
  LOCKSTEP_LANES r.x[i] = p[i];
  return r;
}
LOCKSTEP_INLINE void store(double* p, D v) { LOCKSTEP_LANES p[i] = v.x[i]; }
LOCKSTEP_INLINE D to_double(V a) {
  D r;
  LOCKSTEP_LANES r.x[i] = a.x[i];
  return r;
}
LOCKSTEP_INLINE V to_float(D a) {
  V r;
  LOCKSTEP_LANES r.x[i] = static_cast<float>(a.x[i]);
  return r;
}
LOCKSTEP_INLINE D operator+(D a, D b) {
  LOCKSTEP_LANES a.x[i] += b.x[i];
  return a;
}
LOCKSTEP_INLINE D operator-(D a, D b) {
  LOCKSTEP_LANES a.x[i] -= b.x[i];
  return a;
}
LOCKSTEP_INLINE D operator*(D a, D b) {
  LOCKSTEP_LANES a.x[i] *= b.x[i];
  return a;
}
LOCKSTEP_INLINE D fma(D a, D b, D c) {
  LOCKSTEP_LANES a.x[i] = a.x[i] * b.x[i] + c.x[i];
  return a;
}

// Lanes i and i + 8, then i + 4, i + 2, i + 1: the same tree in every form.
LOCKSTEP_INLINE float sum(V a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.x[i] += a.x[i + half];
  }
  return a.x[0];
}
LOCKSTEP_INLINE float max_lane(V a) {  // no NaN
  float r = a.x[0];
  LOCKSTEP_LANES r = a.x[i] > r ? a.x[i] : r;
  return r;
}
LOCKSTEP_INLINE double sum(D a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.x[i] += a.x[i + half];
  }
  return a.x[0];
}

#undef LOCKSTEP_LANES

}  // namespace
}  // namespace lockstep::ops
