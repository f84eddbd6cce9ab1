// The passes of batch norm over a matrix [rows, period] with period a multiple of 16 (narrow
// channel counts are repeated up to such a period: batch_norm_layout.h). Forward reads x twice and
// writes y: 12 bytes an element. Backward reads dy and x twice and writes dx: 20 bytes. Memory
// limits both.
//
// Rows are cut into blocks of 128, counted from the first row whatever the slices, and columns into
// panels of up to 4 vectors: a block of a panel stays in the first-level cache, and a block's fp32
// sums leave it as doubles.
#include "ops/cpu/kernels.h"
#include "ops/cpu/simd.h"

namespace lockstep::ops {
namespace {

constexpr std::int64_t kBlockRows = kBatchNormBlockRows;

template <int vectors>
struct Panel {
  static constexpr int kVectors = vectors;
  static constexpr int kChains = 4 / vectors;  // 4 independent sums hide the latency of an addition
};

// Calls f(first column, Panel) for each panel of a row.
template <class F>
LOCKSTEP_INLINE void for_panels(std::int64_t period, F f) {
  std::int64_t c = 0;
  for (; c + 4 * kWidth <= period; c += 4 * kWidth) f(c, Panel<4>{});
  if (c + 2 * kWidth <= period) f(c, Panel<2>{}), c += 2 * kWidth;
  if (c < period) f(c, Panel<1>{});
}

// Calls f(first row, rows, first column, Panel) for each block of each panel, in memory order.
template <class F>
LOCKSTEP_INLINE void for_blocks(std::int64_t rows, std::int64_t period, F f) {
  for (std::int64_t r = 0; r < rows; r += kBlockRows) {
    const std::int64_t block = rows - r < kBlockRows ? rows - r : kBlockRows;
    for_panels(period, [&](std::int64_t c, auto panel) { f(r, block, c, panel); });
  }
}

// Adds f(row, vector, sums) over the rows of a block: K sums for each vector of the panel.
template <int K, int P, int U, class F>
LOCKSTEP_INLINE void sum_rows(std::int64_t rows, V (&total)[P][K], F f) {
  V chains[U][P][K];
  for (int u = 0; u < U; ++u) {
    for (int v = 0; v < P; ++v) {
      for (int k = 0; k < K; ++k) chains[u][v][k] = splat(0.0f);
    }
  }
  std::int64_t r = 0;
  for (; r + U <= rows; r += U) {
    for (int u = 0; u < U; ++u) {
      for (int v = 0; v < P; ++v) f(r + u, v, chains[u][v]);
    }
  }
  for (; r < rows; ++r) {
    for (int v = 0; v < P; ++v) f(r, v, chains[0][v]);
  }
  for (int v = 0; v < P; ++v) {
    for (int k = 0; k < K; ++k) {
      if constexpr (U == 4) {
        chains[0][v][k] += chains[1][v][k];
        chains[2][v][k] += chains[3][v][k];
        total[v][k] = chains[0][v][k] + chains[2][v][k];
      } else if constexpr (U == 2) {
        total[v][k] = chains[0][v][k] + chains[1][v][k];
      } else {
        total[v][k] = chains[0][v][k];
      }
    }
  }
}

// Mean and sum of squared deviations of each column. Within a block: the mean first, then the
// deviations from it, corrected for its own rounding (they need not sum to zero); blocks join by
// Chan, Golub & LeVeque 1983. So nothing is lost where |mean| >> deviation.
void column_statistics(const float* x, std::int64_t before_x, std::int64_t rows,
                       std::int64_t period, double* mean, double* squares) {
  for_blocks(rows, period, [=](std::int64_t r, std::int64_t block, std::int64_t c, auto panel) {
    constexpr int P = panel.kVectors, U = panel.kChains;
    const float* const from = x + r * period + c;
    V sums[P][1], centre[P], deviations[P][2];
    sum_rows<1, P, U>(block, sums, [=](std::int64_t row, int v, V* sum) {
      sum[0] += load(from + row * period + v * kWidth);
    });
    const double count = static_cast<double>(block), before = static_cast<double>(before_x + r);
    for (int v = 0; v < P; ++v) centre[v] = sums[v][0] * splat(static_cast<float>(1 / count));
    sum_rows<2, P, U>(block, deviations, [=](std::int64_t row, int v, V* sum) {
      const V d = load(from + row * period + v * kWidth) - centre[v];
      sum[0] += d;
      sum[1] = fma(d, d, sum[1]);
    });
    const D weight = splat_double(count / (before + count));
    const D cross = splat_double(before * (count / (before + count)));
    for (int v = 0; v < P; ++v) {
      const D rest = to_double(deviations[v][0]) * splat_double(1 / count);
      const D block_mean = to_double(centre[v]) + rest;
      const D block_squares = to_double(deviations[v][1]) - rest * rest * splat_double(count);
      double* const to_mean = mean + c + v * kWidth;
      double* const to_squares = squares + c + v * kWidth;
      if (before_x + r == 0) {
        store(to_mean, block_mean);
        store(to_squares, block_squares);
        continue;
      }
      const D delta = block_mean - load(to_mean);
      store(to_mean, fma(delta, weight, load(to_mean)));
      store(to_squares, load(to_squares) + fma(delta * delta, cross, block_squares));
    }
  });
}

// The normalised value before the activation; backward finds relu's mask by the same operations.
LOCKSTEP_INLINE V affine(V x, V mean, V scale, V shift) { return fma(x - mean, scale, shift); }

template <bool with_relu, bool with_residual>
void normalise_pass(const BatchNormPass& a) {
  const auto one = [&a](std::int64_t i, V mean, V scale, V shift, auto lanes) {
    V y = affine(load(a.x + i, lanes), mean, scale, shift);
    if constexpr (with_residual) y += load(a.residual + i, lanes);
    store(a.y + i, with_relu ? relu(y) : y, lanes);
  };
  for_blocks(a.rows, a.period, [&](std::int64_t r, std::int64_t block, std::int64_t c, auto panel) {
    constexpr int P = panel.kVectors;
    V mean[P], scale[P], shift[P];
    for (int v = 0; v < P; ++v) {
      mean[v] = load(a.mean + c + v * kWidth);
      scale[v] = load(a.scale + c + v * kWidth);
      shift[v] = load(a.shift + c + v * kWidth);
    }
    for (std::int64_t row = r; row < r + block; ++row) {
      for (int v = 0; v < P; ++v) {
        one(row * a.period + c + v * kWidth, mean[v], scale[v], shift[v], Whole{});
      }
    }
  });
  for_vectors(a.rest, [&](std::int64_t c, auto lanes) {
    one(a.rows * a.period + c, load(a.mean + c), load(a.scale + c), load(a.shift + c), lanes);
  });
}

void normalise(const BatchNormPass& a) {
  const bool residual = a.residual != nullptr;
  if (a.relu) return residual ? normalise_pass<true, true>(a) : normalise_pass<true, false>(a);
  residual ? normalise_pass<false, true>(a) : normalise_pass<false, false>(a);
}

// The gradient behind the activation: dy where the output is positive (or NaN).
template <ReluMask mask, class Lanes>
LOCKSTEP_INLINE V masked_gradient(const BatchNormPass& a, std::int64_t i, V x_centred, V scale,
                                  V shift, Lanes lanes) {
  const V dy = load(a.dy + i, lanes), zero = splat(0.0f);
  if constexpr (mask == ReluMask::kFromInput) {
    return select(fma(x_centred, scale, shift) <= zero, zero, dy);
  } else if constexpr (mask == ReluMask::kFromOutput) {
    return select(load(a.output + i, lanes) <= zero, zero, dy);
  } else {
    return dy;
  }
}

// Adds to sum dz and sum dz (x - mean) of each column; dz is kept as the residual's gradient if
// wanted.
template <ReluMask mask, bool keep>
void gradient_sums_pass(const BatchNormPass& a, double* sum_dz, double* sum_dz_x) {
  for_blocks(a.rows, a.period, [&](std::int64_t r, std::int64_t block, std::int64_t c, auto panel) {
    constexpr int P = panel.kVectors;
    V mean[P], scale[P], shift[P], sums[P][2];
    for (int v = 0; v < P; ++v) {
      mean[v] = load(a.mean + c + v * kWidth);
      scale[v] = load(a.scale + c + v * kWidth);
      shift[v] = load(a.shift + c + v * kWidth);
    }
    sum_rows<2, P, panel.kChains>(block, sums, [&](std::int64_t row, int v, V* sum) {
      const std::int64_t i = (r + row) * a.period + c + v * kWidth;
      const V centred = load(a.x + i) - mean[v];
      const V dz = masked_gradient<mask>(a, i, centred, scale[v], shift[v], Whole{});
      if constexpr (keep) store(a.d_residual + i, dz);
      sum[0] += dz;
      sum[1] = fma(dz, centred, sum[1]);
    });
    for (int v = 0; v < P; ++v) {
      double* const dz = sum_dz + c + v * kWidth;
      double* const dz_x = sum_dz_x + c + v * kWidth;
      store(dz, load(dz) + to_double(sums[v][0]));
      store(dz_x, load(dz_x) + to_double(sums[v][1]));
    }
  });
  for_vectors(a.rest, [&](std::int64_t c, auto lanes) {
    const std::int64_t i = a.rows * a.period + c;
    const V centred = only(load(a.x + i, lanes) - load(a.mean + c), lanes);
    const V dz = masked_gradient<mask>(a, i, centred, load(a.scale + c), load(a.shift + c), lanes);
    if constexpr (keep) store(a.d_residual + i, dz, lanes);
    store(sum_dz + c, load(sum_dz + c) + to_double(dz));
    store(sum_dz_x + c, load(sum_dz_x + c) + to_double(dz * centred));
  });
}

void gradient_sums(const BatchNormPass& a, double* sum_dz, double* sum_dz_x) {
  const bool keep = a.d_residual != nullptr;
  switch (a.mask) {
    case ReluMask::kNone:
      return keep ? gradient_sums_pass<ReluMask::kNone, true>(a, sum_dz, sum_dz_x)
                  : gradient_sums_pass<ReluMask::kNone, false>(a, sum_dz, sum_dz_x);
    case ReluMask::kFromInput:
      return gradient_sums_pass<ReluMask::kFromInput, false>(a, sum_dz, sum_dz_x);
    case ReluMask::kFromOutput:
      return keep ? gradient_sums_pass<ReluMask::kFromOutput, true>(a, sum_dz, sum_dz_x)
                  : gradient_sums_pass<ReluMask::kFromOutput, false>(a, sum_dz, sum_dz_x);
  }
}

// dx = by_dz dz + by_x (x - mean) + constant.
template <ReluMask mask>
void input_gradient_pass(const BatchNormPass& a) {
  const auto one = [&a](std::int64_t i, std::int64_t c, V mean, V by_dz, V by_x, V constant,
                        auto lanes) {
    const V centred = load(a.x + i, lanes) - mean;
    const V dz = masked_gradient<mask>(a, i, centred, load(a.scale + c), load(a.shift + c), lanes);
    store(a.dx + i, fma(by_dz, dz, fma(by_x, centred, constant)), lanes);
  };
  for_blocks(a.rows, a.period, [&](std::int64_t r, std::int64_t block, std::int64_t c, auto panel) {
    constexpr int P = panel.kVectors;
    V mean[P], by_dz[P], by_x[P], constant[P];
    for (int v = 0; v < P; ++v) {
      mean[v] = load(a.mean + c + v * kWidth);
      by_dz[v] = load(a.by_dz + c + v * kWidth);
      by_x[v] = load(a.by_x + c + v * kWidth);
      constant[v] = load(a.constant + c + v * kWidth);
    }
    for (std::int64_t row = r; row < r + block; ++row) {
      for (int v = 0; v < P; ++v) {
        one(row * a.period + c + v * kWidth, c + v * kWidth, mean[v], by_dz[v], by_x[v],
            constant[v], Whole{});
      }
    }
  });
  for_vectors(a.rest, [&](std::int64_t c, auto lanes) {
    one(a.rows * a.period + c, c, load(a.mean + c), load(a.by_dz + c), load(a.by_x + c),
        load(a.constant + c), lanes);
  });
}

void input_gradient(const BatchNormPass& a) {
  switch (a.mask) {
    case ReluMask::kNone:
      return input_gradient_pass<ReluMask::kNone>(a);
    case ReluMask::kFromInput:
      return input_gradient_pass<ReluMask::kFromInput>(a);
    case ReluMask::kFromOutput:
      return input_gradient_pass<ReluMask::kFromOutput>(a);
  }
}

}  // namespace
}  // namespace lockstep::ops
