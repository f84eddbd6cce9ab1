// C (+)= A B by tiles of C in registers: each word of B is loaded once for `rows` words of A, each
// word of A is broadcast to `vectors` vectors. An element's products are added one after another
// over the block's depth, then to C: the same sum in every tile.
#include "ops/cpu/gemm_end.inl"
#include "ops/cpu/gemm_kernels.h"
#include "ops/cpu/gemm_pack.inl"
#include "ops/cpu/gemm_words.h"

namespace lockstep::ops {
namespace {

#if LOCKSTEP_SIMD == 512
constexpr int kStrip = 8, kVectors = 3;  // 24 sums, 3 of B, 1 of A in 32 registers
#elif LOCKSTEP_SIMD == 2
constexpr int kStrip = 6, kVectors = 1;  // 12, 2 and 1 of 16
#else
constexpr int kStrip = 2, kVectors = 1;
#endif
constexpr int kPanel = kVectors * kWidth;

struct Tile {
  const float* a;
  std::int64_t a_row, a_depth;
  const float* b;
  std::int64_t b_depth, depth;
  float* c;
  std::int64_t c_row;
  int last;  // lanes of the last vector that exist
  bool add;
};

template <int rows, int vectors, class Lanes>
LOCKSTEP_INLINE void write_tile(const Tile& t, const V (&sum)[rows][vectors], Lanes last) {
#pragma GCC unroll 16
  for (int m = 0; m < rows; ++m) {
    const auto finish = [&](int v, auto lanes) {
      float* const c = t.c + m * t.c_row + v * kWidth;
      store(c, t.add ? load(c, lanes) + sum[m][v] : sum[m][v], lanes);
    };
    if constexpr (vectors > 1) finish(0, Whole{});
    if constexpr (vectors > 2) finish(1, Whole{});
    finish(vectors - 1, last);
  }
}

template <class Words, int rows, int vectors>
void multiply_tile(const Tile& t) {
  V sum[rows][vectors];
#pragma GCC unroll 16
  for (int m = 0; m < rows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[m][v] = splat(0.0f);
  }
  const float *a = t.a, *b = t.b;
  for (std::int64_t k = 0; k < t.depth; ++k, a += t.a_depth, b += t.b_depth) {
    V of_b[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) of_b[v] = load(b + v * kWidth);
#pragma GCC unroll 16
    for (int m = 0; m < rows; ++m) {
      const V of_a = splat(a[m * t.a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[m][v] = Words::add_product(of_a, of_b[v], sum[m][v]);
    }
  }
  t.last == kWidth ? write_tile(t, sum, Whole{}) : write_tile(t, sum, Part{t.last});
}

using MultiplyTile = void (*)(const Tile&);
// Of 1 to kStrip rows.
template <class Words, int vectors, int... rows>
struct TilesOf {
  static constexpr MultiplyTile kBy[] = {multiply_tile<Words, rows, vectors>...};
};
template <class Words, int vectors>
LOCKSTEP_INLINE MultiplyTile tile_of(std::int64_t rows) {
#if LOCKSTEP_SIMD == 512
  return TilesOf<Words, vectors, 1, 2, 3, 4, 5, 6, 7, 8>::kBy[rows - 1];
#elif LOCKSTEP_SIMD == 2
  return TilesOf<Words, vectors, 1, 2, 3, 4, 5, 6>::kBy[rows - 1];
#else
  return TilesOf<Words, vectors, 1, 2>::kBy[rows - 1];
#endif
}
template <class Words>
LOCKSTEP_INLINE MultiplyTile tile_of(std::int64_t rows, std::int64_t vectors) {
#if LOCKSTEP_SIMD == 512
  if (vectors == 3) return tile_of<Words, 3>(rows);
  if (vectors == 2) return tile_of<Words, 2>(rows);
#endif
  static_cast<void>(vectors);
  return tile_of<Words, 1>(rows);
}

template <class Words>
void multiply_block(const GemmBlock& g) {
  for (std::int64_t j = 0, p = 0; j < g.columns; j += kPanel, ++p) {
    const std::int64_t columns = at_most(kPanel, g.columns - j);
    const std::int64_t vectors = (columns + kWidth - 1) / kWidth;
    Tile t;
    t.a_row = g.a_row;
    t.a_depth = g.a_depth;
    t.b_depth = g.b_depth != 0 ? g.b_depth : vectors * kWidth;
    t.b = g.b + p * g.b_panel + g.b_first * t.b_depth;
    t.depth = g.depth;
    t.c_row = g.c_row;
    t.last = static_cast<int>(columns - (vectors - 1) * kWidth);
    t.add = g.add;
    for (std::int64_t i = 0, s = 0; i < g.rows; i += kStrip, ++s) {
      const std::int64_t rows = at_most(kStrip, g.rows - i);
      t.a = g.a + s * g.a_strip;
      t.c = g.c + (g.row + i) * g.c_row + g.column + j;
      tile_of<Words>(rows, vectors)(t);
      if (g.end != nullptr) {
        kEndTile[g.end->activation](g, g.row + i, g.column + j, rows, columns);
      }
    }
  }
}

template <class Words>
constexpr GemmKernels gemm_kernels(const char* name) {
  return {.name = name,
          .strip = kStrip,
          .panel = kPanel,
          .numbers = Words::kNumbers,
          .pack_transposed = pack_transposed<Words, kPanel>,
          .pack_panels = pack_panels<Words, kPanel>,
          .pack_rows = pack_rows<Words>,
          .pack_strips = pack_strips<Words, kStrip>,
          .multiply = multiply_block<Words>};
}

}  // namespace
}  // namespace lockstep::ops
