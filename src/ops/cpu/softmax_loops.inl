// Rows of class scores: the terms of a softmax, the rank of a class, sums of columns.
#include "ops/cpu/kernels.h"
#include "ops/cpu/simd_math.h"

namespace lockstep::ops {
namespace {

// Lanes beyond the end never win a maximum.
LOCKSTEP_INLINE V or_lowest(V v, Whole) { return v; }
LOCKSTEP_INLINE V or_lowest(V v, Part lanes) {
  return select(first_lanes(lanes.n), v, splat(-__builtin_inff()));
}

LOCKSTEP_INLINE float largest_of(const float* z, std::int64_t n) {
  V top[4];
  for (V& t : top) t = splat(-__builtin_inff());
  std::int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    for (int u = 0; u < 4; ++u) top[u] = max(load(z + i + u * kWidth), top[u]);  // NaN is left out
  }
  for_vectors(n - i, [&](std::int64_t j, auto lanes) {
    top[0] = max(or_lowest(load(z + i + j, lanes), lanes), top[0]);
  });
  return max_lane(max(max(top[0], top[1]), max(top[2], top[3])));
}

// Terms are summed in fp32 over 1024 of them (16 in a chain), and in double over those.
template <bool keep>
LOCKSTEP_INLINE double sum_terms(float* terms, const float* z, std::int64_t n, V shift) {
  constexpr std::int64_t kChunk = 64 * kWidth;
  D total = splat_double(0);
  for (std::int64_t begin = 0; begin < n; begin += kChunk) {
    const std::int64_t length = n - begin < kChunk ? n - begin : kChunk;
    V chains[4];
    for (V& s : chains) s = splat(0.0f);
    const auto one = [=](std::int64_t i, auto lanes) {
      const V term = exp(load(z + i, lanes) - shift);
      if constexpr (keep) store(terms + i, term, lanes);
      return only(term, lanes);
    };
    std::int64_t i = begin;
    for (; i + 4 * kWidth <= begin + length; i += 4 * kWidth) {
      for (int u = 0; u < 4; ++u) chains[u] += one(i + u * kWidth, Whole{});
    }
    for_vectors(begin + length - i,
                [&](std::int64_t j, auto lanes) { chains[0] += one(i + j, lanes); });
    total = total + to_double((chains[0] + chains[1]) + (chains[2] + chains[3]));
  }
  return sum(total);
}

double softmax_terms_loop(float* terms, const float* z, std::int64_t n, float* largest) {
  *largest = largest_of(z, n);
  const V shift = splat(*largest);
  return terms == nullptr ? sum_terms<false>(terms, z, n, shift)
                          : sum_terms<true>(terms, z, n, shift);
}

// Counted in fp32 lanes over stretches in which they are exact.
template <class F>
LOCKSTEP_INLINE std::int64_t count_where(const float* z, std::int64_t n, F f) {
  constexpr std::int64_t kStretch = std::int64_t{1} << 20;
  std::int64_t count = 0;
  for (std::int64_t begin = 0; begin < n; begin += kStretch) {
    V ones = splat(0.0f);
    const std::int64_t length = n - begin < kStretch ? n - begin : kStretch;
    for_vectors(length, [&](std::int64_t i, auto lanes) {
      const V one = select(f(load(z + begin + i, lanes)), splat(1.0f), splat(0.0f));
      ones += only(one, lanes);
    });
    count += static_cast<std::int64_t>(sum(ones));
  }
  return count;
}

std::int64_t rank_of_loop(const float* z, std::int64_t n, std::int64_t i) {
  const V own = splat(z[i]);
  return count_where(z, i, [=](V v) { return own <= v; }) +
         count_where(z + i + 1, n - i - 1, [=](V v) { return own < v; });
}

void add_columns_loop(double* sums, const float* x, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kBandRows = 32;
  for (std::int64_t row = 0; row < rows; row += kBandRows) {
    const std::int64_t end = rows - row < kBandRows ? rows : row + kBandRows;
    for_vectors(columns, [=](std::int64_t c, auto lanes) {
      V total = splat(0.0f);
      for (std::int64_t r = row; r < end; ++r) total += load(x + r * columns + c, lanes);
      store(sums + c, load(sums + c) + to_double(total));
    });
  }
}

}  // namespace
}  // namespace lockstep::ops
