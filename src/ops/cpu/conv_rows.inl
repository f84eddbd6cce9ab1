// A pass (conv_pass.h) by blocks of P neighbouring positions of a row x N vectors of 16 output
// channels, all in registers. For each tap of the outer dimensions and each input channel the
// weights of a row of taps are read once and each input number once: with P N = 16 to 24 and three
// taps that is about one load for three multiply-adds, so that the two FMA units are what limits
// it. Taps in the padding are skipped, not multiplied by zero. Before this file: struct Factor.
namespace lockstep::ops {
namespace {

struct RowBlock {
  const float *x, *w, *bias;  // x: of the first tap of the first position; may lie outside
  float* y;
  std::int64_t x_plane, x_row, x_step, y_step, w_plane, w_row;
  int planes, rows, channels;        // taps of the outer dimensions that lie inside
  int outside_left, outside_right;   // places of the row that lie outside, at most `edge`
  bool ahead;                        // fetch the next row
  bool resume, relu;                 // continue the sums in y
  __mmask16 last;                    // lanes of the last vector
};

template <int taps, int S, int P, int N, int edge>
__attribute__((noinline)) void row_block(const RowBlock& b) {
  constexpr int kPlaces = (P - 1) * S + taps, kBases = (kPlaces + 2) / 3;
  // The lines to write are fetched while the sums are taken.
#pragma GCC unroll 64
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) __builtin_prefetch(b.y + p * b.y_step + 16 * v, 1);
  }
  V sum[P][N];
#pragma GCC unroll 64
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      const __mmask16 lanes = v + 1 < N ? 0xFFFF : b.last;
      sum[p][v] = splat(0.0f);
      if (b.resume) {
        sum[p][v].x = _mm512_maskz_loadu_ps(lanes, b.y + p * b.y_step + 16 * v);
      } else if (b.bias != nullptr) {
        sum[p][v].x = _mm512_maskz_loadu_ps(lanes, b.bias + 16 * v);
      }
    }
  }
  const std::int64_t step = b.x_step;
  if (b.ahead) {
    const float* next = b.x + (b.planes - 1) * b.x_plane + b.rows * b.x_row;
    if (b.channels == step) {
      for (std::int64_t i = 0; i < P * S * step; i += 16) __builtin_prefetch(next + i);
    } else {
      for (int p = 0; p < P * S; ++p, next += step) {
        for (int c = 0; c < b.channels; c += 16) __builtin_prefetch(next + c);
      }
    }
  }
  for (int d = 0; d < b.planes; ++d) {
    for (int h = 0; h < b.rows; ++h) {
      const float* w = b.w + d * b.w_plane + h * b.w_row;
      // A base for every third place: two more are reached by the addressing itself.
      const float* base[kBases];
#pragma GCC unroll 64
      for (int i = 0; i < kBases; ++i) base[i] = b.x + d * b.x_plane + h * b.x_row + 3 * i * step;
      for (int c = b.channels; c > 0; --c) {
        V k[taps][N];
#pragma GCC unroll 8
        for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 4
          for (int v = 0; v < N; ++v) k[t][v] = load(w + (t * N + v) * 16);
        }
        w += taps * N * 16;
#pragma GCC unroll 64
        for (int q = 0; q < kPlaces; ++q) {
          if (q < edge && q < b.outside_left) continue;
          if (q >= kPlaces - edge && q >= kPlaces - b.outside_right) continue;
          const V in = splat(base[q / 3][q % 3 * step]);
#pragma GCC unroll 8
          for (int t = 0; t < taps; ++t) {
            if (q < t || (q - t) % S != 0 || (q - t) / S >= P) continue;
            const int p = (q - t) / S;
#pragma GCC unroll 4
            for (int v = 0; v < N; ++v) sum[p][v] = Factor::multiply_add(in, k[t][v], sum[p][v]);
          }
        }
        // The compiler must not find out that the bases hang together: it would keep one pointer
        // for each place.
#pragma GCC unroll 64
        for (int i = 0; i < kBases; ++i) {
          ++base[i];
          asm volatile("" : "+r"(base[i]));
        }
      }
    }
  }
#pragma GCC unroll 64
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      const V y = b.relu ? relu(sum[p][v]) : sum[p][v];
      _mm512_mask_storeu_ps(b.y + p * b.y_step + 16 * v, v + 1 < N ? 0xFFFF : b.last, y.x);
    }
  }
}

using RowKernel = void (*)(const RowBlock&);

// Positions in a block: so many that sums, weights and one input fill the 32 registers.
constexpr int kMostPositions[2][5] = {{0, 16, 12, 0, 4}, {0, 12, 8, 0, 4}};  // [stride - 1][N]

template <int taps, int S, int N, int most>
struct RowTable {
  RowKernel kernel[most + 1];
};
template <int taps, int S, int N, int edge, int P>
constexpr void fill(RowKernel* kernel) {
  kernel[P] = row_block<taps, S, P, N, edge>;
  if constexpr (P > 1) fill<taps, S, N, edge, P - 1>(kernel);
}
template <int taps, int S, int N, int edge>
RowKernel row_kernel(std::int64_t positions) {
  constexpr int most = kMostPositions[S - 1][N];
  static constexpr auto table = [] {
    RowTable<taps, S, N, most> t{};
    fill<taps, S, N, edge, most>(t.kernel);
    return t;
  }();
  return table.kernel[positions];
}
template <int taps, int S, int edge>
RowKernel row_kernel(std::int64_t positions, std::int64_t vectors) {
  if (vectors == 1) return row_kernel<taps, S, 1, edge>(positions);
  return vectors == 2 ? row_kernel<taps, S, 2, edge>(positions)
                      : row_kernel<taps, S, 4, edge>(positions);
}
RowKernel row_kernel(std::int64_t taps, std::int64_t stride, int outside, std::int64_t positions,
                     std::int64_t vectors) {
  if (stride == 2) {
    if (taps == 1) return row_kernel<1, 2, 0>(positions, vectors);
    return row_kernel<3, 2, 2>(positions, vectors);
  }
  if (taps == 1) return row_kernel<1, 1, 0>(positions, vectors);
  if (taps == 2) return row_kernel<2, 1, 1>(positions, vectors);
  return outside <= 1 ? row_kernel<3, 1, 1>(positions, vectors)
                      : row_kernel<3, 1, 2>(positions, vectors);
}

LOCKSTEP_INLINE std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
LOCKSTEP_INLINE std::int64_t most(std::int64_t a, std::int64_t b) { return a < b ? b : a; }

// Where the flat weights of a pass lie packed: [block][chunk][d][h][channel][taps of a row][lanes].
struct Packing {
  std::int64_t taps[3], chunks, chunk;
  explicit Packing(const ConvPass& pass)
      : taps{pass.kernel[0], pass.kernel[1], pass.kernel[2]},
        chunks((pass.in_channels + pass.chunk - 1) / pass.chunk),
        chunk(pass.chunk) {}
  std::int64_t vector_floats() const {  // of one vector of output channels
    return chunks * taps[0] * taps[1] * chunk * taps[2] * 16;
  }
  std::int64_t row_floats(std::int64_t vectors) const { return chunk * taps[2] * vectors * 16; }
};

// One chunk of input channels for one block of output channels over rows [begin, end) of
// positions, counted over samples and outer dimensions.
struct RowSweep {
  const ConvPass& pass;
  const float *x, *w, *bias;  // of the chunk's first channel and the block's first lane
  float* y;
  std::int64_t vectors, channels;
  __mmask16 last;
  bool ahead, resume, relu;

  void run(std::int64_t begin, std::int64_t end) const {
    const ConvPass& s = pass;
    const std::int64_t taps = s.kernel[2] > 0 ? s.kernel[2] : 1;
    const std::int64_t widest = kMostPositions[s.stride[2] - 1][vectors];
    const std::int64_t blocks = (s.out[2] + widest - 1) / widest;
    RowBlock b;
    b.ahead = ahead;
    b.bias = bias, b.resume = resume, b.relu = relu, b.last = last;
    b.channels = static_cast<int>(channels);
    b.x_step = s.in_channels;
    b.x_row = s.in[2] * s.in_channels;
    b.x_plane = s.in[1] * b.x_row;
    b.y_step = s.out_step[2] * s.out_channels;
    b.w_row = s.chunk * s.kernel[2] * vectors * 16;
    b.w_plane = s.kernel[1] * b.w_row;
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t h = row % s.out[1], plane = row / s.out[1];
      const std::int64_t d = plane % s.out[0], n = plane / s.out[0];
      const std::int64_t from_d = d * s.stride[0] - s.padding[0];
      const std::int64_t from_h = h * s.stride[1] - s.padding[1];
      const std::int64_t d0 = most(0, -from_d), d1 = least(s.kernel[0], s.in[0] - from_d);
      const std::int64_t h0 = most(0, -from_h), h1 = least(s.kernel[1], s.in[1] - from_h);
      b.planes = s.kernel[2] > 0 ? static_cast<int>(most(0, d1 - d0)) : 0;
      b.rows = static_cast<int>(most(0, h1 - h0));
      const float* const x_row =
          x + (n * s.in[0] + from_d + d0) * b.x_plane + (from_h + h0) * b.x_row;
      b.w = w + d0 * b.w_plane + h0 * b.w_row;
      float* const y_row = y + (((n * s.written[0] + d * s.out_step[0] + s.out_offset[0]) *
                                     s.written[1] + h * s.out_step[1] + s.out_offset[1]) *
                                    s.written[2] + s.out_offset[2]) * s.out_channels;
      for (std::int64_t i = 0; i < blocks; ++i) {
        const std::int64_t p = i * s.out[2] / blocks, next = (i + 1) * s.out[2] / blocks;
        const std::int64_t from = p * s.stride[2] - s.padding[2];
        const std::int64_t reach = (next - 1) * s.stride[2] - s.padding[2] + taps;
        b.x = x_row + from * s.in_channels;
        b.y = y_row + p * b.y_step;
        b.outside_left = static_cast<int>(most(0, -from));
        b.outside_right = static_cast<int>(most(0, reach - s.in[2]));
        const int outside = b.outside_left > b.outside_right ? b.outside_left : b.outside_right;
        row_kernel(taps, s.stride[2], outside, next - p, vectors)(b);
      }
    }
  }
};

void run_pass(const ConvPass& pass, std::int64_t samples, const float* x, const float* packed,
              const float* bias, bool relu, float* y) {
  const Packing packing(pass);
  const std::int64_t rows = samples * pass.out[0] * pass.out[1];
  const std::int64_t vectors = (pass.out_channels + 15) / 16;
  for (std::int64_t row = 0; row < rows; row += pass.tile_rows) {
    const std::int64_t end = least(rows, row + pass.tile_rows);
    for (std::int64_t v = 0; v < vectors; v += pass.vectors) {
      const std::int64_t n = least(pass.vectors, vectors - v);
      const std::int64_t lanes = least(16, pass.out_channels - (v + n - 1) * 16);
      for (std::int64_t chunk = 0; chunk < packing.chunks; ++chunk) {
        const std::int64_t c = chunk * pass.chunk;
        const float* const w = packed + pass.packed_begin + v * packing.vector_floats() +
                               chunk * pass.kernel[0] * pass.kernel[1] * packing.row_floats(n);
        const RowSweep sweep{pass,
                             x + c,
                             w,
                             bias == nullptr ? nullptr : bias + v * 16,
                             y + v * 16,
                             n,
                             least(pass.chunk, pass.in_channels - c),
                             static_cast<__mmask16>((1u << lanes) - 1),
                             v == 0,
                             chunk > 0,
                             relu && chunk + 1 == packing.chunks};
        sweep.run(row, end);
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::ops
