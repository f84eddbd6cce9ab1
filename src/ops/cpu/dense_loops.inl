// Loops around oneDNN's kernels: relu, the gradient's mask and the bias gradient, packing. Each
// reads and writes memory once, which is what limits it.
#include "ops/cpu/dense_kernels.h"
#include "ops/cpu/transpose_tile.h"

namespace lockstep::ops {
namespace {

constexpr std::int64_t kBandRows = 32;  // short enough for fp32, and 32 rows of 8192 stay in L2

void relu_loop(float* x, std::int64_t n) {
  for_vectors(n,
              [=](std::int64_t i, auto lanes) { store(x + i, relu(load(x + i, lanes)), lanes); });
}

template <bool mask, bool bias>
LOCKSTEP_INLINE void prepare_band(float* masked, double* sums, const float* d_output,
                                  const float* output, std::int64_t rows, std::int64_t columns) {
  for_vectors(columns, [=](std::int64_t c, auto lanes) {
    V total = splat(0.0f);
    for (std::int64_t at = c; at < rows * columns; at += columns) {
      V d = load(d_output + at, lanes);
      if constexpr (mask) {
        const V zero = splat(0.0f);
        d = select(load(output + at, lanes) <= zero, zero, d);  // NaN passes
        store(masked + at, d, lanes);
      }
      if constexpr (bias) total += d;
    }
    if constexpr (bias) store(sums + c, load(sums + c) + to_double(total));
  });
}

template <bool mask, bool bias>
void prepare_bands(float* masked, float* d_bias, double* sums, const float* d_output,
                   const float* output, std::int64_t rows, std::int64_t columns) {
  if constexpr (bias) {
    for_vectors(columns, [=](std::int64_t c, auto) { store(sums + c, splat_double(0)); });
  }
  for (std::int64_t row = 0; row < rows; row += kBandRows) {
    const std::int64_t band = rows - row < kBandRows ? rows - row : kBandRows;
    const std::int64_t at = row * columns;
    prepare_band<mask, bias>(mask ? masked + at : nullptr, sums, d_output + at,
                             mask ? output + at : nullptr, band, columns);
  }
  if constexpr (bias) {
    for_vectors(columns, [=](std::int64_t c, auto lanes) {
      store(d_bias + c, to_float(load(sums + c)), lanes);
    });
  }
}

void prepare_gradient_loop(float* masked, float* d_bias, double* sums, const float* d_output,
                           const float* output, std::int64_t rows, std::int64_t columns) {
  if (masked != nullptr && d_bias != nullptr) {
    prepare_bands<true, true>(masked, d_bias, sums, d_output, output, rows, columns);
  } else if (masked != nullptr) {
    prepare_bands<true, false>(masked, d_bias, sums, d_output, output, rows, columns);
  } else if (d_bias != nullptr) {
    prepare_bands<false, true>(masked, d_bias, sums, d_output, output, rows, columns);
  }
}

// to[c * to_stride + r] = from[r * from_stride + c] for 16 x 16 elements, of which only `rows` rows
// and the columns in `lanes` are read; the rest of `to` becomes +0.
template <class Lanes>
LOCKSTEP_INLINE void transpose_tile(float* to, std::int64_t to_stride, const float* from,
                                    std::int64_t from_stride, std::int64_t rows, Lanes lanes) {
  V t[16];
  for (int r = 0; r < 16; ++r) t[r] = r < rows ? load(from + r * from_stride, lanes) : splat(0.0f);
  transpose16(t);
  for (int q = 0; q < 4; ++q) {
    for (int i = 0; i < 4; ++i) store(to + (4 * q + i) * to_stride, t[4 * q + i]);
  }
}

// Whole cache lines are read once: with a power of two between rows, columns read four at a time
// would drive each other out of the first-level cache.
void pack_panels_loop(float* panels, const float* weights, std::int64_t out, std::int64_t in,
                      std::int64_t width, std::int64_t depth) {
  for (std::int64_t first = 0; first < out; first += width, panels += depth * width) {
    for (std::int64_t k = 0; k < depth; k += 16) {
      for (std::int64_t j = 0; j < width; j += 16) {
        const std::int64_t left = out - first - j, rows = left < 0 ? 0 : left < 16 ? left : 16;
        const float* from = weights + (first + j) * in + k;
        float* to = panels + k * width + j;
        if (k + 16 <= in) {
          transpose_tile(to, width, from, in, rows, Whole{});
        } else {
          transpose_tile(to, width, from, in, rows, Part{static_cast<int>(in - k)});
        }
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::ops
