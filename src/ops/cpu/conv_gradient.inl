// The weight gradient of a set of positions by blocks of all taps of a row x B input channels x N
// vectors of 16 output channels, kept in registers over the whole set: less than one load for two
// multiply-adds, so that the FMA units are what limits it. Positions whose input lies in the
// padding are skipped. Blocks that share numbers follow one another: the set's strip of output
// channels stays in the first-level cache.
namespace lockstep::ops {
namespace {

// What follows a set in memory, fetched a few lines at each row of a kernel.
struct LinesAhead {
  const char *x, *dy;
  std::int64_t x_lines, dy_lines;  // at each row
};
constexpr std::int64_t kLine = 64;

struct GradientBlock {
  const float *x, *dy;  // of the first row that takes part and of its row of positions
  float* dw;
  std::int64_t x_step, x_row, x_plane, x_sample, dy_step, dy_row, dy_plane, dy_sample;
  std::int64_t samples, planes, rows;
  int in, out, padding;  // of the last dimension
  __mmask16 last;        // lanes of the last vector
  bool first;
};

template <int N>
LOCKSTEP_INLINE V lanes_of(const GradientBlock& b, const float* dy, int v) {
  return v + 1 < N ? load(dy + 16 * v) : V{_mm512_maskz_loadu_ps(b.last, dy + 16 * v)};
}

// Adds one row. With stride 1 it goes along the input, so that each of its numbers is read once
// for all taps.
template <int taps, int B, int N>
LOCKSTEP_INLINE void add_row(V (&sum)[taps][B][N], const GradientBlock& b, const float* x,
                             const float* dy) {
  const std::int64_t step = b.dy_step;
  dy += b.padding * step;  // the position that meets the first input at the first tap
  const auto edge = [&](int q) __attribute__((always_inline)) {
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t) {
      const int o = q + b.padding - t;
      if (o < 0 || o >= b.out) continue;
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) {
        const V d = lanes_of<N>(b, dy - t * step, v);
#pragma GCC unroll 32
        for (int c = 0; c < B; ++c) sum[t][c][v] = fma(splat(x[c]), d, sum[t][c][v]);
      }
    }
    x += b.x_step, dy += step;
  };
  const int begin = taps - 1 - b.padding;
  const int end = b.out - b.padding < b.in ? b.out - b.padding : b.in;
  int q = 0;
  for (; q < begin && q < b.in; ++q) edge(q);
  for (; q < end; ++q) {
    V d[taps][N];
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) d[t][v] = lanes_of<N>(b, dy - t * step, v);
    }
#pragma GCC unroll 32
    for (int c = 0; c < B; ++c) {
      const V in = splat(x[c]);
#pragma GCC unroll 8
      for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) sum[t][c][v] = fma(in, d[t][v], sum[t][c][v]);
      }
    }
    x += b.x_step, dy += step;
  }
  for (; q < b.in; ++q) edge(q);
}

// With a larger stride it goes along the output.
template <int S, int taps, int B, int N>
LOCKSTEP_INLINE void add_row_strided(V (&sum)[taps][B][N], const GradientBlock& b, const float* x,
                                     const float* dy) {
  for (int o = 0; o < b.out; ++o, dy += b.dy_step) {
    V d[N];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) d[v] = lanes_of<N>(b, dy, v);
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t) {
      const int q = o * S - b.padding + t;
      if (q < 0 || q >= b.in) continue;
#pragma GCC unroll 32
      for (int c = 0; c < B; ++c) {
        const V in = splat(x[q * b.x_step + c]);
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) sum[t][c][v] = fma(in, d[v], sum[t][c][v]);
      }
    }
  }
}

// bf16: a word of x holds positions 2 j and 2 j + 1 of a channel, a word of dy positions o and
// o + 1, for o from padding + 1 - taps on, +0 outside: no edges.
template <int taps, int B, int N>
LOCKSTEP_INLINE void add_row_of_pairs(V (&sum)[taps][B][N], const GradientBlock& b, const float* x,
                                      const float* dy) {
  const std::int64_t step = b.dy_step;
  dy += (taps - 1) * step;  // the word that meets the first input at the first tap
  for (int q = 0; q < b.in; q += 2, x += b.x_step, dy += 2 * step) {
    V d[taps][N];
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) d[t][v] = lanes_of<N>(b, dy - t * step, v);
    }
#pragma GCC unroll 32
    for (int c = 0; c < B; ++c) {
      const V in = splat(x[c]);
#pragma GCC unroll 8
      for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) {
          sum[t][c][v] = Factor::multiply_add(in, d[t][v], sum[t][c][v]);
        }
      }
    }
  }
}

template <int taps, int S, int B, int N>
__attribute__((noinline)) void gradient_block(const GradientBlock& b, LinesAhead& ahead) {
  V sum[taps][B][N];
#pragma GCC unroll 8
  for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 32
    for (int c = 0; c < B; ++c) {
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) sum[t][c][v] = splat(0.0f);
    }
  }
  for (std::int64_t n = 0; n < b.samples; ++n) {
    for (std::int64_t d = 0; d < b.planes; ++d) {
      const float* x = b.x + n * b.x_sample + d * b.x_plane;
      const float* dy = b.dy + n * b.dy_sample + d * b.dy_plane;
      for (std::int64_t h = 0; h < b.rows; ++h, x += b.x_row, dy += b.dy_row) {
        for (std::int64_t i = 0; i < ahead.x_lines; ++i, ahead.x += kLine) {
          __builtin_prefetch(ahead.x, 0, 2);
        }
        for (std::int64_t i = 0; i < ahead.dy_lines; ++i, ahead.dy += kLine) {
          __builtin_prefetch(ahead.dy, 0, 2);
        }
        if constexpr (Factor::kDepth == 2) {
          add_row_of_pairs(sum, b, x, dy);
        } else if constexpr (S == 1) {
          add_row(sum, b, x, dy);
        } else {
          add_row_strided<S>(sum, b, x, dy);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 32
    for (int c = 0; c < B; ++c) {
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) {
        float* const to = b.dw + ((c * taps + t) * N + v) * 16;
        store(to, b.first ? sum[t][c][v] : load(to) + sum[t][c][v]);
      }
    }
  }
}

struct GradientKernel {
  std::int64_t channels;
  void (*run)(const GradientBlock&, LinesAhead&);
};

// The kernel for the first of `left` channels: as many as fit into the registers.
template <int taps, int S, int N>
GradientKernel gradient_kernel(std::int64_t left) {
  constexpr int kSums = 24 / (taps * N);
  if constexpr (kSums >= 16) {
    if (left >= 16) return {16, gradient_block<taps, S, 16, N>};
  }
  if constexpr (kSums >= 8) {
    if (left >= 8) return {8, gradient_block<taps, S, 8, N>};
  }
  if (left >= 4) return {4, gradient_block<taps, S, 4, N>};
  if (left == 3) return {3, gradient_block<taps, S, 3, N>};
  if (left == 2) return {2, gradient_block<taps, S, 2, N>};
  return {1, gradient_block<taps, S, 1, N>};
}
template <int N>
GradientKernel gradient_kernel(std::int64_t taps, std::int64_t stride, std::int64_t left) {
  if constexpr (Factor::kDepth == 1) {
    if (stride == 2 && taps == 3) return gradient_kernel<3, 2, N>(left);
    if (stride == 2) return gradient_kernel<1, 2, N>(left);
  }
  return taps == 3 ? gradient_kernel<3, 1, N>(left) : gradient_kernel<1, 1, N>(left);
}

// Which of the positions [first, first + count) have this tap inside.
struct InsideSpan {
  std::int64_t begin, end;
};
LOCKSTEP_INLINE InsideSpan inside(const ConvGradient& g, int d, std::int64_t tap,
                                  std::int64_t first, std::int64_t count) {
  const std::int64_t s = g.stride[d], offset = tap - g.padding[d];  // 0 <= o s + offset < in
  const std::int64_t low = offset < 0 ? (-offset + s - 1) / s : 0;
  const std::int64_t high = g.in[d] - offset <= 0 ? 0 : (g.in[d] - offset + s - 1) / s;
  return {most(first, low), least(first + count, high)};
}

LinesAhead lines_ahead(const ConvGradient& g, const ConvSet& set, const float* x,
                       const float* dy) {
  const std::int64_t x_row = g.in[2] * g.in_channels, dy_row = g.out[2] * g.out_channels;
  const std::int64_t d = set.plane + set.planes - 1, h = set.row + set.rows - 1;
  const std::int64_t last = set.samples - 1;
  const std::int64_t reach_d = (last * g.in[0] + d * g.stride[0] + g.kernel[0] - 1 - g.padding[0]);
  const std::int64_t reach_h = h * g.stride[1] + g.kernel[1] - g.padding[1];
  const std::int64_t rows = set.samples * set.planes * set.rows;
  // How often a kernel goes along a row of the set, if it has 4 channels.
  const std::int64_t passes = (g.out_channels + 31) / 32 * ((g.in_channels + 3) / 4) *
                              g.kernel[0] * g.kernel[1];
  LinesAhead ahead;
  ahead.x = reinterpret_cast<const char*>(x + (reach_d * g.in[1] + reach_h) * x_row);
  ahead.dy = reinterpret_cast<const char*>(
      dy + ((last * g.out[0] + d) * g.out[1] + h + 1) * dy_row);
  const auto lines = [=](std::int64_t floats) {
    return (floats / 16 * rows + passes * rows - 1) / (passes * rows);
  };
  ahead.x_lines = lines(x_row * g.stride[0] * g.stride[1]);
  ahead.dy_lines = lines(dy_row);
  return ahead;
}

void set_gradient(const ConvGradient& g, const ConvSet& set, const float* x, const float* dy,
                  bool first, float* dw) {
  const std::int64_t taps = g.kernel[2], vectors = (g.out_channels + 15) / 16;
  GradientBlock b;
  b.first = first;
  b.samples = set.samples;
  b.in = static_cast<int>(g.in[2]), b.out = static_cast<int>(g.out[2]);
  b.padding = static_cast<int>(g.padding[2]);
  b.x_step = g.in_channels, b.dy_step = g.out_channels;
  if constexpr (Factor::kDepth == 1) {
    b.x_row = g.in[2] * b.x_step, b.x_plane = g.in[1] * b.x_row;
    b.dy_row = g.out[2] * b.dy_step, b.dy_plane = g.out[1] * b.dy_row;
    b.x_sample = g.in[0] * b.x_plane, b.dy_sample = g.out[0] * b.dy_plane;
  } else {
    b.x_row = (g.in[2] + 1) / 2 * b.x_step, b.x_plane = g.in[1] * b.x_row;
    b.dy_row = g.pair_words * b.dy_step, b.dy_plane = set.rows * b.dy_row;
    b.x_sample = g.in[0] * b.x_plane, b.dy_sample = set.planes * b.dy_plane;
    dy -= set.plane * b.dy_plane + set.row * b.dy_row;
  }
  const std::int64_t x_row = b.x_row, x_plane = b.x_plane;
  LinesAhead ahead = Factor::kDepth == 1 ? lines_ahead(g, set, x, dy) : LinesAhead{};
  for (std::int64_t v = 0; v < vectors; v += 2) {
    const std::int64_t n = least(2, vectors - v);
    b.last = static_cast<__mmask16>((1u << least(16, g.out_channels - (v + n - 1) * 16)) - 1);
    float* const block = dw + v * 16 * g.kernel[0] * g.kernel[1] * g.in_channels * taps;
    for (std::int64_t group = 0; group < g.in_channels; group += 16) {
      const std::int64_t end = least(g.in_channels, group + 16);
      for (std::int64_t kd = 0; kd < g.kernel[0]; ++kd) {
        const InsideSpan d = inside(g, 0, kd, set.plane, set.planes);
        for (std::int64_t kh = 0; kh < g.kernel[1]; ++kh) {
          const InsideSpan h = inside(g, 1, kh, set.row, set.rows);
          b.planes = most(0, d.end - d.begin), b.rows = most(0, h.end - h.begin);
          b.x_row = x_row * g.stride[1], b.x_plane = x_plane * g.stride[0];
          const float* const x_first = x + (d.begin * g.stride[0] + kd - g.padding[0]) * x_plane +
                                       (h.begin * g.stride[1] + kh - g.padding[1]) * x_row;
          b.dy = dy + d.begin * b.dy_plane + h.begin * b.dy_row + v * 16;
          float* const row = block + (kd * g.kernel[1] + kh) * g.in_channels * taps * n * 16;
          for (std::int64_t c = group; c < end;) {
            b.x = x_first + c;
            b.dw = row + c * taps * n * 16;
            const GradientKernel kernel =
                n == 2 ? gradient_kernel<2>(taps, g.stride[2], end - c)
                       : gradient_kernel<1>(taps, g.stride[2], end - c);
            kernel.run(b, ahead);
            c += kernel.channels;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::ops
