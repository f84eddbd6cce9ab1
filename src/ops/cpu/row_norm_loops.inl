// Layer norm and RMS norm: a few rows at a time, passes over rows that stay in the first-level
// cache, so that memory sees x once and y once. Several rows, because the scalar work between the
// passes of one (a sum over lanes, a root) takes as long as a pass, and hides behind the others'.
//
// No result depends on how rows are grouped: a row's sums are its own, and parameter gradients are
// summed row by row in fp32 over bands of 32 rows, counted from the first row whatever the slices,
// and over bands in double.
#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"

namespace lockstep::ops {
namespace {

constexpr std::int64_t kBandRows = 32;
constexpr int kRowGroup = 4;

// Calls f(first row, RowCount<4 or 1>) over rows [0, rows) in order.
template <int rows>
struct RowCount {
  static constexpr int kRows = rows;
};
template <class F>
LOCKSTEP_INLINE void for_row_groups(std::int64_t rows, F f) {
  std::int64_t row = 0;
  for (; row + kRowGroup <= rows; row += kRowGroup) f(row, RowCount<kRowGroup>{});
  for (; row < rows; ++row) f(row, RowCount<1>{});
}

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
template <int R>
LOCKSTEP_INLINE void layer_norm_rows(const RowNormPass& a, const float* x, float* y, float* saved) {
  const auto n = static_cast<double>(a.channels);
  for (int r = 0; r < R; ++r) {
    float sums[1];
    const float* const from = x + r * a.channels;
    sum_row<1>(a.channels, sums,
               [=](std::int64_t i, auto lanes, V* s) { s[0] += load(from + i, lanes); });
    saved[3 * r] = static_cast<float>(sums[0] / n);
  }
  for (int r = 0; r < R; ++r) {
    float deviations[2];
    const float* const from = x + r * a.channels;
    const V mean = splat(saved[3 * r]);
    sum_row<2>(a.channels, deviations, [=](std::int64_t i, auto lanes, V* s) {
      const V d = only(load(from + i, lanes) - mean, lanes);
      s[0] += d;
      s[1] = fma(d, d, s[1]);
    });
    const double rest = deviations[0] / n;
    const double variance = deviations[1] / n - rest * rest;
    const double rstd = 1 / __builtin_sqrt((variance < 0 ? 0 : variance) + a.epsilon);
    saved[3 * r + 1] = static_cast<float>(rstd);
    saved[3 * r + 2] = static_cast<float>(-rest * rstd);
  }
  V mean[R], rstd[R], offset[R];
  for (int r = 0; r < R; ++r) {
    mean[r] = splat(saved[3 * r]);
    rstd[r] = splat(saved[3 * r + 1]);
    offset[r] = splat(saved[3 * r + 2]);
  }
  for_vectors(a.channels, [&](std::int64_t i, auto lanes) {
    const V gain = load(a.gain + i, lanes), bias = load(a.bias + i, lanes);
    for (int r = 0; r < R; ++r) {
      const std::int64_t at = r * a.channels + i;
      store(y + at, fma(fma(load(x + at, lanes) - mean[r], rstd[r], offset[r]), gain, bias), lanes);
    }
  });
}

void layer_norm_forward(const RowNormPass& a) {
  for_row_groups(a.rows, [&a](std::int64_t row, auto count) {
    layer_norm_rows<count.kRows>(a, a.x + row * a.channels, a.y + row * a.channels,
                                 a.saved + 3 * row);
  });
}

template <int R>
LOCKSTEP_INLINE void rms_norm_rows(const RowNormPass& a, const float* x, float* y, float* saved) {
  V rstd[R];
  for (int r = 0; r < R; ++r) {
    float squares[1];
    const float* const from = x + r * a.channels;
    sum_row<1>(a.channels, squares, [=](std::int64_t i, auto lanes, V* s) {
      const V v = load(from + i, lanes);
      s[0] = fma(v, v, s[0]);
    });
    const double mean_square = squares[0] / static_cast<double>(a.channels);
    saved[r] = static_cast<float>(1 / __builtin_sqrt(mean_square + a.epsilon));
  }
  for (int r = 0; r < R; ++r) rstd[r] = splat(saved[r]);
  for_vectors(a.channels, [&](std::int64_t i, auto lanes) {
    const V gain = load(a.gain + i, lanes);
    for (int r = 0; r < R; ++r) {
      const std::int64_t at = r * a.channels + i;
      store(y + at, load(x + at, lanes) * rstd[r] * gain, lanes);
    }
  });
}

void rms_norm_forward(const RowNormPass& a) {
  for_row_groups(a.rows, [&a](std::int64_t row, auto count) {
    rms_norm_rows<count.kRows>(a, a.x + row * a.channels, a.y + row * a.channels, a.saved + row);
  });
}

// The rows of one group in backward; x^ as forward computed it.
template <bool layer, int R>
struct GradientRows {
  const RowNormPass& a;
  const float *x, *dy;
  V mean[R], rstd[R], offset[R];

  LOCKSTEP_INLINE GradientRows(const RowNormPass& a, std::int64_t row)
      : a(a), x(a.x + row * a.channels), dy(a.dy + row * a.channels) {
    for (int r = 0; r < R; ++r) {
      const float* const saved = a.saved + (layer ? 3 : 1) * (row + r);
      mean[r] = splat(layer ? saved[0] : 0.0f);
      rstd[r] = splat(saved[layer ? 1 : 0]);
      offset[r] = splat(layer ? saved[2] : 0.0f);
    }
  }
  template <class Lanes>
  LOCKSTEP_INLINE V centred(int r, std::int64_t i, Lanes lanes) const {
    const V v = load(x + r * a.channels + i, lanes);
    return layer ? v - mean[r] : v;
  }
  template <class Lanes>
  LOCKSTEP_INLINE V hat(int r, std::int64_t i, Lanes lanes) const {
    return layer ? fma(centred(r, i, lanes), rstd[r], offset[r]) : centred(r, i, lanes) * rstd[r];
  }
};

// Adds the rows to the band's column sums, and gives sum g and sum g x^ of each, g = dy gain.
template <bool layer, int R>
LOCKSTEP_INLINE void gradient_row_sums(const RowNormPass& a, const GradientRows<layer, R>& rows,
                                       const RowNormSums& band, float (&sum_g)[R],
                                       float (&sum_gx)[R]) {
  V g_sum[R], gx_sum[R];
  for (int r = 0; r < R; ++r) g_sum[r] = gx_sum[r] = splat(0.0f);
  for_vectors(a.channels, [&](std::int64_t i, auto lanes) {
    const V gain = load(a.gain + i, lanes);
    V d_gain = load(band.gain + i), d_bias = load(band.bias + i);
    for (int r = 0; r < R; ++r) {
      const V d = load(rows.dy + r * a.channels + i, lanes), hat = rows.hat(r, i, lanes);
      const V g = d * gain;
      if constexpr (layer) {
        g_sum[r] += g;
        d_bias += d;
      }
      gx_sum[r] = fma(g, hat, gx_sum[r]);
      d_gain = fma(d, hat, d_gain);
    }
    store(band.gain + i, d_gain);
    if constexpr (layer) store(band.bias + i, d_bias);
  });
  for (int r = 0; r < R; ++r) {
    sum_g[r] = layer ? sum(g_sum[r]) : 0.0f;
    sum_gx[r] = sum(gx_sum[r]);
  }
}

// dx = rstd (g - mean(g) - x^ mean(g x^)); RMS norm lacks the middle term and its own mean.
template <bool layer, bool accumulate, int R>
LOCKSTEP_INLINE void input_gradient_rows(const RowNormPass& a, const GradientRows<layer, R>& rows,
                                         float* dx, const float (&sum_g)[R],
                                         const float (&sum_gx)[R]) {
  const auto n = static_cast<float>(a.channels);
  V by_hat[R], constant[R];
  for (int r = 0; r < R; ++r) {
    by_hat[r] = splat(-sum_gx[r] / n);
    constant[r] = splat(-sum_g[r] / n);
  }
  for_vectors(a.channels, [&](std::int64_t i, auto lanes) {
    const V gain = load(a.gain + i, lanes);
    for (int r = 0; r < R; ++r) {
      const std::int64_t at = r * a.channels + i;
      const V d = load(rows.dy + at, lanes);
      const V g = layer ? fma(d, gain, constant[r]) : d * gain;
      const V gradient = rows.rstd[r] * fma(rows.hat(r, i, lanes), by_hat[r], g);
      store(dx + at, accumulate ? load(dx + at, lanes) + gradient : gradient, lanes);
    }
  });
}

template <bool layer, int R>
LOCKSTEP_INLINE void row_norm_backward_rows(const RowNormPass& a, std::int64_t row) {
  const GradientRows<layer, R> rows(a, row);
  float sum_g[R], sum_gx[R];
  gradient_row_sums<layer, R>(a, rows, a.sums, sum_g, sum_gx);
  if (a.dx == nullptr) return;
  float* const dx = a.dx + row * a.channels;
  if (a.accumulate) {
    input_gradient_rows<layer, true, R>(a, rows, dx, sum_g, sum_gx);
  } else {
    input_gradient_rows<layer, false, R>(a, rows, dx, sum_g, sum_gx);
  }
}

// Adds a band's sums to the doubles and clears them.
LOCKSTEP_INLINE void end_band(float* band, double* total, std::int64_t channels) {
  for_vectors(channels, [=](std::int64_t i, auto) {
    store(total + i, load(total + i) + to_double(load(band + i)));
    store(band + i, splat(0.0f));
  });
}

template <bool layer>
void row_norm_backward(const RowNormPass& a) {
  for (std::int64_t row = 0; row < a.rows;) {
    const std::int64_t left = kBandRows - (a.first_row + row) % kBandRows;
    const std::int64_t rows = a.rows - row < left ? a.rows - row : left;
    for_row_groups(rows, [&a, row](std::int64_t r, auto count) {
      row_norm_backward_rows<layer, count.kRows>(a, row + r);
    });
    if (rows == left) {
      end_band(a.sums.gain, a.sums.total_gain, a.channels);
      if constexpr (layer) end_band(a.sums.bias, a.sums.total_bias, a.channels);
    }
    row += rows;
  }
}

}  // namespace
}  // namespace lockstep::ops
