// What the bf16 kernels of attention share: rows of heads in shared memory and the two kinds of
// products of a warp.
#pragma once
#include <type_traits>

#include "kernels/attention_pass.cuh"
#include "kernels/mma.cuh"

namespace lockstep::kernels {

constexpr int kAttentionThreads = 128;  // four warps, each with its own rows

// Rows of kWidth bf16 in shared memory, chunks of 16 bytes swizzled so that eight rows of a column
// of chunks lie in different banks: for ldmatrix, plain or transposed, and for cp.async.
template <int kWidth>
struct HeadTile {
  static_assert(kWidth % 32 == 0);
  static constexpr int kRowBytes = kWidth * 2;

  __device__ static unsigned place(int row, int chunk) {
    const int mixed = kWidth % 64 == 0 ? chunk ^ (row & 7) : chunk ^ ((row >> 1) & 3);
    return row * kRowBytes + (mixed << 4);
  }

  // Rows [first, first + kRows) of `from`, zeros from row `rows` and from column `step` on.
  template <int kRows>
  __device__ static void fetch(unsigned to, const __nv_bfloat16* from, int first, int rows,
                               int step) {
    constexpr int kChunks = kWidth / 8, kAll = kRows * kChunks;
    static_assert(kAll % kAttentionThreads == 0);
#pragma unroll
    for (int i = 0; i < kAll / kAttentionThreads; ++i) {
      const int at = threadIdx.x + i * kAttentionThreads, row = at / kChunks, chunk = at % kChunks;
      const bool there = first + row < rows && chunk * 8 < step;
      const std::int64_t place_in_rows =
          there ? static_cast<std::int64_t>(first + row) * step + chunk * 8 : 0;
      copy_async(to + place(row, chunk), from + place_in_rows, there ? 16 : 0);
    }
  }
};

// sums[i] += (rows [first + 16 i, +16) of tile a) (rows [0, kRows) of tile b)^T, over the width.
template <int kWidth, int kTiles, int kRows>
__device__ inline void multiply_rows(float (&sums)[kTiles][kRows / 8][4], unsigned a_tile,
                                     int first, unsigned b_tile) {
  using Tile = HeadTile<kWidth>;
  const int warp_lane = threadIdx.x % kWarp, row = warp_lane % 8;
  const int low = warp_lane / 8 % 2, high = warp_lane / 16;
#pragma unroll
  for (int k = 0; k < kWidth / 8; k += 2) {
    Word a[kTiles][4];
#pragma unroll
    for (int i = 0; i < kTiles; ++i)
      load_matrices<false>(a[i], a_tile + Tile::place(first + 16 * i + 8 * low + row, k + high));
#pragma unroll
    for (int j = 0; j < kRows / 16; ++j) {
      Word b[4];
      load_matrices<false>(b, b_tile + Tile::place(16 * j + 8 * high + row, k + low));
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        mma_bf16(sums[i][2 * j], a[i], b[0], b[1]);
        mma_bf16(sums[i][2 * j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

// sums += (weights rounded to bf16) (rows [0, kRows) of the tile). The weights are where
// multiply_rows() left its sums.
template <int kWidth, int kTiles, int kRows>
__device__ inline void multiply_columns(float (&sums)[kTiles][kWidth / 8][4],
                                        const float (&weights)[kTiles][kRows / 8][4],
                                        unsigned tile) {
  using Tile = HeadTile<kWidth>;
  const int warp_lane = threadIdx.x % kWarp, row = warp_lane % 8;
  const int low = warp_lane / 8 % 2, high = warp_lane / 16;
#pragma unroll
  for (int k = 0; k < kRows / 16; ++k) {
    Word a[kTiles][4];
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const float(&left)[4] = weights[i][2 * k], (&right)[4] = weights[i][2 * k + 1];
      a[i][0] = pack_bf16(left[0], left[1]);
      a[i][1] = pack_bf16(left[2], left[3]);
      a[i][2] = pack_bf16(right[0], right[1]);
      a[i][3] = pack_bf16(right[2], right[3]);
    }
#pragma unroll
    for (int j = 0; j < kWidth / 16; ++j) {
      Word b[4];
      load_matrices<true>(b, tile + Tile::place(16 * k + 8 * low + row, 2 * j + high));
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        mma_bf16(sums[i][2 * j], a[i], b[0], b[1]);
        mma_bf16(sums[i][2 * j + 1], a[i], b[2], b[3]);
      }
    }
  }
}

// The narrowest of the tuned widths that holds `width`: calls run(integral_constant).
template <class Run>
void for_tuned_width(std::int64_t width, Run run) {
  if (width <= 32)
    run(std::integral_constant<int, 32>());
  else if (width <= 64)
    run(std::integral_constant<int, 64>());
  else
    run(std::integral_constant<int, 128>());
}

}  // namespace lockstep::kernels
