// Measures the machine's fp32 fused multiply-add peak, the yardstick of the run's report.
#include <immintrin.h>

#include <algorithm>

#include "lockstep/core/clock.h"
#include "lockstep/core/isa.h"
#include "lockstep/device/device.h"

namespace lockstep {
namespace {

// 12 independent chains hide the latency of 4 cycles on two units with room to spare.
constexpr int kChains = 12;
constexpr int kRounds = 4000;

__attribute__((target("avx512f"))) float chains_avx512() {
  __m512 x[kChains];
  for (int i = 0; i < kChains; ++i) x[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  for (int r = 0; r < kRounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) x[i] = _mm512_fmadd_ps(x[i], a, b);
  }
  __m512 sum = x[0];
  for (int i = 1; i < kChains; ++i) sum = _mm512_add_ps(sum, x[i]);
  return _mm512_reduce_add_ps(sum);
}

__attribute__((target("avx2,fma"))) float chains_avx2() {
  __m256 x[kChains];
  for (int i = 0; i < kChains; ++i) x[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  for (int r = 0; r < kRounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) x[i] = _mm256_fmadd_ps(x[i], a, b);
  }
  __m256 sum = x[0];
  for (int i = 1; i < kChains; ++i) sum = _mm256_add_ps(sum, x[i]);
  return _mm256_cvtss_f32(sum);
}

float chains_plain() {
  __m128 x[kChains];
  for (int i = 0; i < kChains; ++i) x[i] = _mm_set1_ps(static_cast<float>(i));
  const __m128 a = _mm_set1_ps(0.999f), b = _mm_set1_ps(0.001f);
  for (int r = 0; r < kRounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) x[i] = _mm_add_ps(_mm_mul_ps(x[i], a), b);
  }
  __m128 sum = x[0];
  for (int i = 1; i < kChains; ++i) sum = _mm_add_ps(sum, x[i]);
  return _mm_cvtss_f32(sum);
}

}  // namespace

double measure_fma_peak() {
  const Isa which = isa();
  const int width = which == Isa::kAvx512 ? 16 : which == Isa::kAvx2 ? 8 : 4;
  const double flops = 2.0 * width * kChains * kRounds;
  double best = 0;
  volatile float keep = 0;
  for (const double end = seconds_now() + 0.02; seconds_now() < end;) {
    const double start = seconds_now();
    keep = which == Isa::kAvx512 ? chains_avx512() : which == Isa::kAvx2 ? chains_avx2() : chains_plain();
    best = std::max(best, flops / (seconds_now() - start));
  }
  static_cast<void>(keep);
  return best;
}

}  // namespace lockstep
