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

// What is asked from farther caches while a tile is computed, in chunks of 16 words of depth: A's
// next strip, and a part of B's next panel.
struct Ahead {
  const float* a;
  std::int64_t a_line;  // distance between the lines of a chunk
  const float* b;
  std::int64_t b_lines;  // of a chunk
};
constexpr std::int64_t kChunk = 16;

struct Tile {
  const float* a;
  std::int64_t a_row, a_depth;
  const float* b;
  std::int64_t depth;
  float* c;
  std::int64_t c_row;
  int last;  // lanes of the last vector that exist
  bool add;
  Ahead ahead;
};

template <bool add, class Lanes>
LOCKSTEP_INLINE void write(float* c, V sum, Lanes lanes) {
  store(c, add ? load(c, lanes) + sum : sum, lanes);
}

template <bool add, int rows, int vectors, class Lanes>
LOCKSTEP_INLINE void write_tile(const Tile& t, const V (&sum)[rows][vectors], Lanes last) {
  float* c = t.c;
#pragma GCC unroll 16
  for (int m = 0; m < rows; ++m, c += t.c_row) {
    if constexpr (vectors > 1) write<add>(c, sum[m][0], Whole{});
    if constexpr (vectors > 2) write<add>(c + kWidth, sum[m][1], Whole{});
    write<add>(c + (vectors - 1) * kWidth, sum[m][vectors - 1], last);
  }
}

// Adds the products of one word of depth.
template <class Words, int rows, int vectors>
LOCKSTEP_INLINE void add_products(V (&sum)[rows][vectors], const float* a, std::int64_t a_row,
                                  const float* b) {
  V of_b[vectors];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) of_b[v] = load(b + v * kWidth);
#pragma GCC unroll 16
  for (int m = 0; m < rows; ++m) {
    const V of_a = splat(a[m * a_row]);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[m][v] = Words::add_product(of_a, of_b[v], sum[m][v]);
  }
}

template <class Words, int rows, int vectors>
void multiply_tile(const Tile& t) {
  V sum[rows][vectors];
#pragma GCC unroll 16
  for (int m = 0; m < rows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      sum[m][v] = splat(0.0f);
      __builtin_prefetch(t.c + m * t.c_row + v * kWidth, 1);
    }
  }
  const float *a = t.a, *b = t.b;
  const std::int64_t a_row = t.a_row, a_depth = t.a_depth;
  constexpr std::int64_t kDeeper = vectors * kWidth;
  std::int64_t left = t.depth;
  if constexpr (rows == kStrip && vectors == kVectors) {
    Ahead ahead = t.ahead;
    for (; left >= kChunk; left -= kChunk) {
      if (ahead.a != nullptr) {
#pragma GCC unroll 16
        for (int m = 0; m < rows; ++m) __builtin_prefetch(ahead.a + m * ahead.a_line);
        ahead.a += kChunk * a_depth;
      }
      for (std::int64_t i = 0; i < ahead.b_lines; ++i, ahead.b += kWidth) {
        __builtin_prefetch(ahead.b, 0, 2);
      }
      for (int k = 0; k < kChunk; ++k, a += a_depth, b += kDeeper) {
        add_products<Words>(sum, a, a_row, b);
      }
    }
  }
  for (; left > 0; --left, a += a_depth, b += kDeeper) add_products<Words>(sum, a, a_row, b);
  if (t.last == kWidth) {
    t.add ? write_tile<true>(t, sum, Whole{}) : write_tile<false>(t, sum, Whole{});
  } else {
    t.add ? write_tile<true>(t, sum, Part{t.last}) : write_tile<false>(t, sum, Part{t.last});
  }
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
    t.b = g.b + p * g.b_panel + g.b_first * vectors * kWidth;
    t.depth = g.depth;
    t.c_row = g.c_row;
    t.last = static_cast<int>(columns - (vectors - 1) * kWidth);
    t.add = g.add;
    const std::int64_t strips = (g.rows + kStrip - 1) / kStrip;
    const std::int64_t chunks = strips * (g.depth / kChunk);
    const bool more = j + kPanel < g.columns;
    const float* next_b = more ? t.b + g.b_panel : g.next_b;
    // With fewer strips the processor's own prefetching serves as well.
    t.ahead.b_lines = strips < 4 || chunks == 0 || next_b == nullptr
                          ? 0
                          : (g.depth * kVectors + chunks - 1) / chunks;
    t.ahead.a_line = g.a_depth == 1 ? g.a_row : kWidth;
    for (std::int64_t i = 0, s = 0; i < g.rows; i += kStrip, ++s) {
      const std::int64_t rows = at_most(kStrip, g.rows - i);
      t.a = g.a + s * g.a_strip;
      t.c = g.c + (g.row + i) * g.c_row + g.column + j;
      t.ahead.a = j == 0 && i + kStrip < g.rows ? t.a + g.a_strip : nullptr;
      t.ahead.b = next_b + s * (g.depth / kChunk) * t.ahead.b_lines * kWidth;
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
