// What the fp32 kernels of attention share: products of blocks of 64 rows by 256 threads on the
// CUDA cores. Thread (tx, ty) of 16 x 16 owns rows [4 ty, +4) and either columns [4 tx, +4) of a
// block of 64 x 64, or kSlice / 16 columns of rows of a head. A width beyond kSlice is cut into
// slices, each of which computes the scores again: any width works.
#pragma once
#include <type_traits>

#include "kernels/attention_pass.cuh"

namespace lockstep::kernels {

constexpr int kBlockThreads = 256;
constexpr int kBlockRows = 64;
constexpr int kBlockDepth = 32;             // columns of both factors at a time
constexpr int kBlockStep = kBlockRows + 4;  // floats: rows stay on 16 bytes, banks move by 4

// Rows of a head in memory, of which [0, limit) are there; zeros beyond.
struct HeadRows {
  const float* at;
  int limit, step;

  __device__ Pack16<float> four(int row, int column) const {
    if (row >= limit || column >= step) return {};
    return load<Pack16<float>>(at + static_cast<std::int64_t>(row) * step + column);
  }
};

struct BlockFactors {
  float a[kBlockDepth][kBlockStep], b[kBlockDepth][kBlockStep];  // by column, then row
};

// sums = (rows [a_first, +64) of a) (rows [b_first, +64) of b)^T over `width` columns in order.
__device__ inline void multiply_row_blocks(float (&sums)[4][4], const HeadRows& a, int a_first,
                                           const HeadRows& b, int b_first, int width,
                                           BlockFactors& factors) {
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  const int row = threadIdx.x % kBlockRows, quarter = threadIdx.x / kBlockRows;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[i][j] = 0;
  }
  for (int column = 0; column < width; column += kBlockDepth) {
    Pack16<float> from_a[2], from_b[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      from_a[i] = a.four(a_first + row, column + 4 * (quarter + 4 * i));
      from_b[i] = b.four(b_first + row, column + 4 * (quarter + 4 * i));
    }
    __syncthreads();  // all are done with the columns before
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        factors.a[4 * (quarter + 4 * i) + e][row] = from_a[i].at[e];
        factors.b[4 * (quarter + 4 * i) + e][row] = from_b[i].at[e];
      }
    }
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < kBlockDepth; ++k) {
      const auto x = load<Pack16<float>>(&factors.a[k][4 * ty]);
      const auto y = load<Pack16<float>>(&factors.b[k][4 * tx]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(x.at[i], y.at[j], sums[i][j]);
      }
    }
  }
}

// Columns of a slice that a thread owns: kGroups groups of kTogether neighbours.
template <int kSlice>
struct SliceColumns {
  static constexpr int kTogether = kSlice >= 64 ? 4 : kSlice / 16;
  static constexpr int kGroups = kSlice / 16 / kTogether;
  static constexpr int kCount = kSlice / 16;
  __device__ static int column(int group) { return (threadIdx.x % 16 + 16 * group) * kTogether; }
};

// By the deeper dimension, then row: what a thread of (tx, ty) holds goes to [4 tx + j][4 ty + i].
using Weights = float[kBlockRows][kBlockStep];

__device__ inline void write_weights(Weights& to, const float (&from)[4][4]) {
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
#pragma unroll
  for (int j = 0; j < 4; ++j)
    store(&to[4 * tx + j][4 * ty], Pack16<float>{from[0][j], from[1][j], from[2][j], from[3][j]});
}

// sums += weights^T (rows [first, +64), columns [slice, +kSlice) of `rows`), over the rows in
// order.
template <int kSlice>
__device__ inline void add_weighted_rows(float (&sums)[4][kSlice / 16], const Weights& weights,
                                         const HeadRows& rows, int first, int slice,
                                         float (&chunk)[kBlockDepth][kSlice]) {
  using Columns = SliceColumns<kSlice>;
  constexpr int kPacks = kBlockDepth * kSlice / 4 / kBlockThreads;
  const int ty = threadIdx.x / 16;
#pragma unroll 1
  for (int half = 0; half < kBlockRows; half += kBlockDepth) {
    Pack16<float> from[kPacks];
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const int at = threadIdx.x + i * kBlockThreads;
      from[i] = rows.four(first + half + at / (kSlice / 4), slice + at % (kSlice / 4) * 4);
    }
    __syncthreads();  // the weights are there; all are done with the chunk before
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const int at = threadIdx.x + i * kBlockThreads;
      store(&chunk[at / (kSlice / 4)][at % (kSlice / 4) * 4], from[i]);
    }
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < kBlockDepth; ++k) {
      const auto weight = load<Pack16<float>>(&weights[half + k][4 * ty]);
#pragma unroll
      for (int group = 0; group < Columns::kGroups; ++group) {
        const auto x = load<Pack<float, Columns::kTogether>>(&chunk[k][Columns::column(group)]);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int e = 0; e < Columns::kTogether; ++e) {
            float& sum = sums[i][group * Columns::kTogether + e];
            sum = fmaf(weight.at[i], x.at[e], sum);
          }
        }
      }
    }
  }
}

template <int kSlice>
struct BlockMemory {
  Weights weights;
  union {  // never needed at once
    BlockFactors factors;
    float chunk[kBlockDepth][kSlice];
  };
};

template <class Run>
void for_slice_width(std::int64_t width, Run run) {
  if (width <= 32) {
    run(std::integral_constant<int, 32>());
  } else if (width <= 64) {
    run(std::integral_constant<int, 64>());
  } else {
    run(std::integral_constant<int, 128>());
  }
}

}  // namespace lockstep::kernels
