// Layer norm and RMS norm: one row at a time, three passes over a row that stays in the first-level
// cache, so that memory sees x once and y once. Parameter gradients are summed over blocks of rows
// in fp32 and over blocks in double.
#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"

namespace lockstep::ops {
namespace {

constexpr std::int64_t kGradientRows = 32;

// K sums over a row by f(i, lanes, sums), each in 4 chains that join in a fixed order.
template <int K, class F>
LOCKSTEP_INLINE void sum_row(std::int64_t n, float (&total)[K], F f) {
  V chains[4][K];
  for (auto& chain : chains) {
    for (V& s : chain) s = splat(0.0f);
  }
  std::int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    for (int u = 0; u < 4; ++u) f(i + u * kWidth, Whole{}, chains[u]);
  }
  for_vectors(n - i, [&](std::int64_t j, auto lanes) { f(i + j, lanes, chains[0]); });
  for (int k = 0; k < K; ++k) {
    total[k] = sum((chains[0][k] + chains[1][k]) + (chains[2][k] + chains[3][k]));
  }
}

// x^ = (x - mean) rstd + offset, y = x^ gain + bias; offset carries what fp32 cut off the mean.
void layer_norm_forward(const RowNormPass& a) {
  const auto n = static_cast<double>(a.channels);
  for (std::int64_t row = 0; row < a.rows; ++row) {
    const float* const x = a.x + row * a.channels;
    float* const y = a.y + row * a.channels;
    float sums[1], deviations[2];
    sum_row<1>(a.channels, sums,
               [=](std::int64_t i, auto lanes, V* s) { s[0] += load(x + i, lanes); });
    const auto mean = static_cast<float>(sums[0] / n);
    sum_row<2>(a.channels, deviations, [=](std::int64_t i, auto lanes, V* s) {
      const V d = only(load(x + i, lanes) - splat(mean), lanes);
      s[0] += d;
      s[1] = fma(d, d, s[1]);
    });
    const double rest = deviations[0] / n;
    const double variance = deviations[1] / n - rest * rest;
    const double rstd = 1 / __builtin_sqrt((variance < 0 ? 0 : variance) + a.epsilon);
    float* const saved = a.saved + 3 * row;
    saved[0] = mean;
    saved[1] = static_cast<float>(rstd);
    saved[2] = static_cast<float>(-rest * rstd);
    const V vmean = splat(mean), vrstd = splat(saved[1]), offset = splat(saved[2]);
    for_vectors(a.channels, [=, &a](std::int64_t i, auto lanes) {
      const V normal = fma(load(x + i, lanes) - vmean, vrstd, offset);
      store(y + i, fma(normal, load(a.gain + i, lanes), load(a.bias + i, lanes)), lanes);
    });
  }
}

void rms_norm_forward(const RowNormPass& a) {
  for (std::int64_t row = 0; row < a.rows; ++row) {
    const float* const x = a.x + row * a.channels;
    float* const y = a.y + row * a.channels;
    float squares[1];
    sum_row<1>(a.channels, squares, [=](std::int64_t i, auto lanes, V* s) {
      const V v = load(x + i, lanes);
      s[0] = fma(v, v, s[0]);
    });
    const double mean_square = squares[0] / static_cast<double>(a.channels);
    a.saved[row] = static_cast<float>(1 / __builtin_sqrt(mean_square + a.epsilon));
    const V rstd = splat(a.saved[row]);
    for_vectors(a.channels, [=, &a](std::int64_t i, auto lanes) {
      store(y + i, load(x + i, lanes) * rstd * load(a.gain + i, lanes), lanes);
    });
  }
}

// Adds block sums [channels] to doubles and clears them.
LOCKSTEP_INLINE void flush(float* block, double* total, std::int64_t padded) {
  for (std::int64_t i = 0; i < padded; i += kWidth) {
    store(total + i, load(total + i) + to_double(load(block + i)));
    store(block + i, splat(0.0f));
  }
}

// dx = rstd (g - mean(g) - x^ mean(g x^)) with g = dy gain; RMS norm lacks the middle term and
// mean.
template <bool layer>
void row_norm_backward(const RowNormPass& a) {
  const std::int64_t padded = (a.channels + kWidth - 1) / kWidth * kWidth;
  double* const sum_gain = static_cast<double*>(a.workspace);
  double* const sum_bias = sum_gain + padded;
  float* const block_gain = reinterpret_cast<float*>(sum_bias + padded);
  float* const block_bias = block_gain + padded;
  for (std::int64_t i = 0; i < padded; i += kWidth) {
    store(sum_gain + i, splat_double(0));
    store(sum_bias + i, splat_double(0));
    store(block_gain + i, splat(0.0f));
    store(block_bias + i, splat(0.0f));
  }
  for (std::int64_t row = 0; row < a.rows; ++row) {
    const float* const x = a.x + row * a.channels;
    const float* const dy = a.dy + row * a.channels;
    const float* const saved = a.saved + (layer ? 3 : 1) * row;
    const V mean = splat(layer ? saved[0] : 0.0f), rstd = splat(saved[layer ? 1 : 0]);
    const V offset = splat(layer ? saved[2] : 0.0f);
    const auto normal = [=](std::int64_t i, auto lanes) {
      if constexpr (layer) return fma(load(x + i, lanes) - mean, rstd, offset);
      return load(x + i, lanes) * rstd;
    };
    float sums[2];
    sum_row<2>(a.channels, sums, [=, &a](std::int64_t i, auto lanes, V* s) {
      const V d = load(dy + i, lanes), hat = normal(i, lanes);
      const V g = d * load(a.gain + i, lanes);
      if constexpr (layer) {
        s[0] += g;
        store(block_bias + i, load(block_bias + i) + d);
      }
      s[1] = fma(g, hat, s[1]);
      store(block_gain + i, fma(d, hat, load(block_gain + i)));
    });
    if (a.dx != nullptr) {
      float* const dx = a.dx + row * a.channels;
      const auto n = static_cast<float>(a.channels);
      const V minus_mean_g = splat(-sums[0] / n), minus_mean_gx = splat(-sums[1] / n);
      for_vectors(a.channels, [=, &a](std::int64_t i, auto lanes) {
        const V g = load(dy + i, lanes) * load(a.gain + i, lanes);
        const V centred = layer ? g + minus_mean_g : g;
        store(dx + i, rstd * fma(normal(i, lanes), minus_mean_gx, centred), lanes);
      });
    }
    if ((row + 1) % kGradientRows == 0 || row + 1 == a.rows) {
      flush(block_gain, sum_gain, padded);
      if constexpr (layer) flush(block_bias, sum_bias, padded);
    }
  }
  for_vectors(a.channels, [&](std::int64_t i, auto lanes) {
    store(a.d_gain + i, to_float(load(sum_gain + i)), lanes);
    if constexpr (layer) store(a.d_bias + i, to_float(load(sum_bias + i)), lanes);
  });
}

}  // namespace
}  // namespace lockstep::ops
