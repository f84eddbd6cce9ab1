// Products of attention: tiles of C (+)= A B in registers, B's rows as vectors, A's numbers spread
// over all lanes. Every element of C is one chain of multiply-adds in the order of the inner
// dimension, whatever the tile: its bits depend on its own row and column alone. W: what a word of
// the factors is.
#include "ops/cpu/gemm_words.h"

namespace lockstep::ops {
namespace {

constexpr int kTileRows = 6;
#if LOCKSTEP_SIMD == 512
constexpr int kTileVectors = 4;  // 24 of 32 registers accumulate
#else
constexpr int kTileVectors = 1;  // 12 of 16 AVX2 registers
#endif

// Where A's number of row r and depth k lies.
enum class Order { kByRow, kByDepth };  // a[r * a_step + k] or a[k * a_step + r]

// What the tiles of a product have in common.
struct Product {
  std::int64_t c_step, a_step;  // floats between rows of C; as Order says
  std::int64_t b_step;          // floats between the rows of depth k and k + 1
  bool add;                     // to C, else written
};

// f(row, vector, place in C) for all of a tile: unrolled, or the sums would not stay in registers.
template <int rows, int vectors, class F>
LOCKSTEP_INLINE void for_tile(float* c, std::int64_t c_step, F f) {
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r, c += c_step) {
    asm("" : "+r"(c));  // one pointer that moves on, not one for every row
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) f(r, v, c + v * kWidth);
  }
}

// factors: with add, row r of C is first multiplied by factors[r]; null: not. depth: in words.
template <class W, Order order, int rows, int vectors>
void tile(const Product& p, float* to, const float* a, const float* b, std::int64_t depth,
          const float* factors) {
  V sum[rows][vectors];
  const std::int64_t c_step = p.c_step, a_step = p.a_step, b_step = p.b_step;
  if (!p.add) {
    for_tile<rows, vectors>(to, c_step, [&](int r, int v, float*) { sum[r][v] = splat(0.0f); });
  } else if (factors == nullptr) {
    for_tile<rows, vectors>(to, c_step, [&](int r, int v, float* c) { sum[r][v] = load(c); });
  } else {
    for_tile<rows, vectors>(to, c_step, [&](int r, int v, float* c) {
      sum[r][v] = load(c) * splat(factors[r]);
    });
  }
  for (; depth > 0; --depth) {
    V row[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) row[v] = load(b + v * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const V spread = splat(order == Order::kByRow ? a[r * a_step] : a[r]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = W::add_product(spread, row[v], sum[r][v]);
    }
    a += order == Order::kByRow ? 1 : a_step;
    b += b_step;
  }
  for_tile<rows, vectors>(to, c_step, [&](int r, int v, float* c) { store(c, sum[r][v]); });
}

template <class W, Order order, int vectors>
LOCKSTEP_INLINE void tile_of_rows(std::int64_t rows, const Product& p, float* c, const float* a,
                                  const float* b, std::int64_t depth, const float* factors) {
  static_assert(kTileRows == 6);
  switch (rows) {
    case 1: return tile<W, order, 1, vectors>(p, c, a, b, depth, factors);
    case 2: return tile<W, order, 2, vectors>(p, c, a, b, depth, factors);
    case 3: return tile<W, order, 3, vectors>(p, c, a, b, depth, factors);
    case 4: return tile<W, order, 4, vectors>(p, c, a, b, depth, factors);
    case 5: return tile<W, order, 5, vectors>(p, c, a, b, depth, factors);
    default: return tile<W, order, 6, vectors>(p, c, a, b, depth, factors);
  }
}

// C of up to kTileRows rows and any number of vectors, cut into parts of similar width.
template <class W, Order order>
void multiply_strip(std::int64_t rows, std::int64_t vectors, const Product& p, float* c,
                    const float* a, const float* b, std::int64_t depth,
                    const float* factors = nullptr) {
  while (vectors > 0) {
#if LOCKSTEP_SIMD == 512
    const std::int64_t parts = (vectors + kTileVectors - 1) / kTileVectors;
    const std::int64_t width = parts == 1 ? vectors : (vectors + parts - 1) / parts;
    switch (width) {
      case 1: tile_of_rows<W, order, 1>(rows, p, c, a, b, depth, factors); break;
      case 2: tile_of_rows<W, order, 2>(rows, p, c, a, b, depth, factors); break;
      case 3: tile_of_rows<W, order, 3>(rows, p, c, a, b, depth, factors); break;
      default: tile_of_rows<W, order, 4>(rows, p, c, a, b, depth, factors);
    }
#else
    constexpr std::int64_t width = kTileVectors;
    tile_of_rows<W, order, 1>(rows, p, c, a, b, depth, factors);
#endif
    c += width * kWidth;
    b += width * kWidth;
    vectors -= width;
  }
}

}  // namespace
}  // namespace lockstep::ops
