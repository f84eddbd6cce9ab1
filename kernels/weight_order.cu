// A block takes a tile of one matrix through shared memory, so that both the reads and the writes
// run along memory. Bound by memory, and by the launch for most layers.
#include <algorithm>

#include "kernels/common.cuh"
#include "kernels/launch.h"
#include "kernels/weight_order.h"

namespace lockstep::kernels {
namespace {

constexpr int kTile = 32, kThreads = 256;
constexpr std::int64_t kMostBlocks = 4096;  // in y and in z: a device has work for fewer at a time

// The odd row length keeps a column's elements in different banks.
template <class To, class From>
__global__ void __launch_bounds__(kThreads)
    transpose_tiles(To* to, const From* from, std::int64_t n, int rows, int columns) {
  __shared__ float tile[kTile][kTile + 1];
  const int x = threadIdx.x % kTile, y = threadIdx.x / kTile;
  const int row_0 = blockIdx.x * kTile;
  for (std::int64_t i = blockIdx.z; i < n; i += gridDim.z) {
    for (int column_0 = blockIdx.y * kTile; column_0 < columns; column_0 += gridDim.y * kTile) {
      const std::int64_t at = i * rows * columns;
      for (int k = y; k < kTile; k += kThreads / kTile)
        if (row_0 + k < rows && column_0 + x < columns)
          tile[k][x] =
              to_float(from[at + static_cast<std::int64_t>(row_0 + k) * columns + column_0 + x]);
      __syncthreads();
      for (int k = y; k < kTile; k += kThreads / kTile)
        if (column_0 + k < columns && row_0 + x < rows)
          to[at + static_cast<std::int64_t>(column_0 + k) * rows + row_0 + x] =
              from_float<To>(tile[x][k]);
      __syncthreads();
    }
  }
}

template <class To, class From>
__global__ void transpose_naive(To* to, const From* from, std::int64_t n, std::int64_t rows,
                                std::int64_t columns) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n * rows * columns) return;
  const std::int64_t row = i % rows, column = i / rows % columns, matrix = i / rows / columns;
  to[i] = from_float<To>(to_float(from[(matrix * rows + row) * columns + column]));
}

template <class To, class From>
void transpose(To* to, const From* from, std::int64_t n, std::int64_t rows, std::int64_t columns,
               cudaStream_t stream) {
  if (n * rows * columns == 0) return;
  const dim3 grid(static_cast<unsigned>(blocks_for(rows, kTile)),
                  static_cast<unsigned>(std::min(blocks_for(columns, kTile), kMostBlocks)),
                  static_cast<unsigned>(std::min(n, kMostBlocks)));
  transpose_tiles<<<grid, kThreads, 0, stream>>>(to, from, n, static_cast<int>(rows),
                                                 static_cast<int>(columns));
  check_launch("transpose_each");
}

template <class To, class From>
void transpose_reference(To* to, const From* from, std::int64_t n, std::int64_t rows,
                         std::int64_t columns, cudaStream_t stream) {
  if (n * rows * columns == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(n * rows * columns, kThreads));
  transpose_naive<<<blocks, kThreads, 0, stream>>>(to, from, n, rows, columns);
  check_launch("transpose_each_reference");
}

}  // namespace

void transpose_each(float* to, const float* from, std::int64_t n, std::int64_t rows,
                    std::int64_t columns, cudaStream_t stream) {
  transpose(to, from, n, rows, columns, stream);
}
void transpose_each(__nv_bfloat16* to, const float* from, std::int64_t n, std::int64_t rows,
                    std::int64_t columns, cudaStream_t stream) {
  transpose(to, from, n, rows, columns, stream);
}
void transpose_each(float* to, const __nv_bfloat16* from, std::int64_t n, std::int64_t rows,
                    std::int64_t columns, cudaStream_t stream) {
  transpose(to, from, n, rows, columns, stream);
}
void transpose_each_reference(float* to, const float* from, std::int64_t n, std::int64_t rows,
                              std::int64_t columns, cudaStream_t stream) {
  transpose_reference(to, from, n, rows, columns, stream);
}
void transpose_each_reference(__nv_bfloat16* to, const float* from, std::int64_t n,
                              std::int64_t rows, std::int64_t columns, cudaStream_t stream) {
  transpose_reference(to, from, n, rows, columns, stream);
}
void transpose_each_reference(float* to, const __nv_bfloat16* from, std::int64_t n,
                              std::int64_t rows, std::int64_t columns, cudaStream_t stream) {
  transpose_reference(to, from, n, rows, columns, stream);
}

}  // namespace lockstep::kernels
