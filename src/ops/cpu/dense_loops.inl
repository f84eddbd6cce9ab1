// Loops around oneDNN's kernels: relu, the gradient's mask and the bias gradient, packing. Each
// reads and writes memory once, which is what limits it.

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

// to[c * to_stride + r] = from[r * from_stride + c] for 16 x 16 elements, of which only `rows` rows
// and the columns in `lanes` are read; the rest of `to` becomes +0.
template <class Lanes>
LOCKSTEP_INLINE void transpose_tile(float* to, std::int64_t to_stride, const float* from,
                                    std::int64_t from_stride, std::int64_t rows, Lanes lanes) {
  V t[16];
  for (int r = 0; r < 16; ++r) t[r] = r < rows ? load(from + r * from_stride, lanes) : splat(0.0f);
  for (int g = 0; g < 16; g += 4) transpose4(t[g], t[g + 1], t[g + 2], t[g + 3]);
  for (int i = 0; i < 4; ++i) transpose_quarters(t[i], t[i + 4], t[i + 8], t[i + 12]);
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
