// Passes over a matrix [rows, columns], with constants of a column kept in registers and, if
// wanted, sums over the rows of each column. A block of 256 threads works on one tile of columns
// and one chunk of rows; neighbouring blocks have neighbouring tiles. Sums: a thread's rows in
// order in fp32 (at most 32), the block's threads as a tree, the chunks in double by a second
// kernel: an order that the shape alone decides.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/common.cuh"
#include "kernels/launch.h"

namespace lockstep::kernels {

constexpr int kTileThreads = 256;
constexpr int kTileBlocks = 3;  // of a multiprocessor at once: up to 80 registers a thread

struct ColumnTiles {
  std::int64_t rows, columns;
  int width;       // columns of a thread: 4 where rows begin on 16 bytes, else 1
  int lanes_log2;  // threads side by side; the others stand below them
  std::int64_t chunk_rows, chunks, tiles;

  unsigned blocks() const { return static_cast<unsigned>(chunks * tiles); }
};

// Few rows: each thread takes all of them. Else tiles are 32 threads wide, or as wide as the
// matrix.
inline ColumnTiles column_tiles(std::int64_t rows, std::int64_t columns, bool aligned = true) {
  constexpr std::int64_t kFewRows = 64, kEnoughBlocks = 1024;
  ColumnTiles t{rows, columns, aligned && columns % 4 == 0 ? 4 : 1, 0, 0, 0, 0};
  const std::int64_t lanes = blocks_for(columns, t.width);
  const int widest = rows < kFewRows ? 8 : 5;
  while (t.lanes_log2 < widest && (std::int64_t{1} << t.lanes_log2) < lanes) ++t.lanes_log2;
  t.tiles = blocks_for(lanes, std::int64_t{1} << t.lanes_log2);
  const std::int64_t below = kTileThreads >> t.lanes_log2;
  std::int64_t each = 32;  // rows of a thread
  while (each > 8 && blocks_for(rows, each * below) * t.tiles < kEnoughBlocks) each /= 2;
  if (below == 1 && each < rows && rows <= 32) each = rows;
  t.chunk_rows = each * below;
  t.chunks = blocks_for(rows, t.chunk_rows);
  return t;
}

// Partial sums of K quantities: [K][chunks][columns].
inline std::size_t column_sums_bytes(const ColumnTiles& t, int k) {
  return sizeof(float) * k * t.chunks * t.columns;
}

// The thread's part of its block's tile and chunk.
struct TilePlace {
  std::int64_t chunk, column, row, end, step;

  __device__ explicit TilePlace(const ColumnTiles& t) {
    chunk = blockIdx.x / t.tiles;
    const std::int64_t tile = blockIdx.x - chunk * t.tiles;
    const int lane = threadIdx.x & ((1 << t.lanes_log2) - 1);
    column = ((tile << t.lanes_log2) + lane) * t.width;
    step = kTileThreads >> t.lanes_log2;
    row = chunk * t.chunk_rows + (threadIdx.x >> t.lanes_log2);
    end = (chunk + 1) * t.chunk_rows;
    if (end > t.rows) end = t.rows;
    if (column >= t.columns) end = row;
  }
};

// Calls pass.fetch<W>(row, column) and then apply(fetched, row) for the thread's rows, the loads of
// kAtOnce rows before the first store.
template <int W, class Pass, class Apply>
__device__ inline void for_tile_rows(const TilePlace& p, const Pass& pass, Apply apply) {
  constexpr int kAtOnce = Pass::kAtOnce;
  std::int64_t row = p.row;
  for (; row + (kAtOnce - 1) * p.step < p.end; row += kAtOnce * p.step) {
    typename Pass::template Fetched<W> fetched[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u)
      fetched[u] = pass.template fetch<W>(row + u * p.step, p.column);
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) apply(fetched[u], row + u * p.step);
  }
  for (; row < p.end; row += p.step) apply(pass.template fetch<W>(row, p.column), row);
}

// Pass: kAtOnce, Column<W>, Fetched<W>, column<W>(column), fetch<W>(row, column) and
// apply<W>(column's constants, fetched, row, column).
template <int W, class Pass>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks) tile_pass(ColumnTiles t, Pass pass) {
  const TilePlace p(t);
  if (p.row >= p.end) return;
  const auto state = pass.template column<W>(p.column);
  for_tile_rows<W>(p, pass, [&](const typename Pass::template Fetched<W>& x, std::int64_t row) {
    pass.template apply<W>(state, x, row, p.column);
  });
}

// As tile_pass, with Pass::kSums and a last argument float (&sums)[kSums][W] of apply. Partial sums
// are written to partial [kSums][chunks][columns].
template <int W, class Pass>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks)
    tile_sums(ColumnTiles t, Pass pass, float* partial) {
  constexpr int K = Pass::kSums;
  using Sums = Pack<float, W>;
  __shared__ Sums scratch[K][kTileThreads];
  const TilePlace p(t);
  float sums[K][W] = {};
  if (p.row < p.end) {
    const auto state = pass.template column<W>(p.column);
    for_tile_rows<W>(p, pass, [&](const typename Pass::template Fetched<W>& x, std::int64_t row) {
      pass.template apply<W>(state, x, row, p.column, sums);
    });
  }
#pragma unroll
  for (int k = 0; k < K; ++k) {
#pragma unroll
    for (int w = 0; w < W; ++w) scratch[k][threadIdx.x].at[w] = sums[k][w];
  }
  const int lanes = 1 << t.lanes_log2;
  for (int half = kTileThreads / 2; half >= lanes; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
#pragma unroll
      for (int k = 0; k < K; ++k) {
        const Sums other = scratch[k][threadIdx.x + half];
#pragma unroll
        for (int w = 0; w < W; ++w) scratch[k][threadIdx.x].at[w] += other.at[w];
      }
    }
  }
  // The threads of the first row have written what they now read.
  if (threadIdx.x >= lanes || p.column >= t.columns) return;
#pragma unroll
  for (int k = 0; k < K; ++k)
    store(partial + (k * t.chunks + p.chunk) * t.columns + p.column, scratch[k][threadIdx.x]);
}

// Adds the chunks of each column in double: 16 strands, then the strands in order; calls
// finish(column, sums).
constexpr int kStrands = 16;
template <int K, class Finish>
__global__ void __launch_bounds__(kWarp* kStrands)
    finish_columns(const float* partial, std::int64_t chunks, std::int64_t columns, Finish finish) {
  __shared__ double scratch[K][kStrands][kWarp];
  const int lane = threadIdx.x % kWarp, strand = threadIdx.x / kWarp;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kWarp + lane;
  double sums[K] = {};
  if (column < columns) {
#pragma unroll 4
    for (std::int64_t chunk = strand; chunk < chunks; chunk += kStrands) {
#pragma unroll
      for (int k = 0; k < K; ++k) sums[k] += partial[(k * chunks + chunk) * columns + column];
    }
  }
#pragma unroll
  for (int k = 0; k < K; ++k) scratch[k][strand][lane] = sums[k];
  __syncthreads();
  if (strand != 0 || column >= columns) return;
  for (int s = 1; s < kStrands; ++s) {
#pragma unroll
    for (int k = 0; k < K; ++k) sums[k] += scratch[k][s][lane];
  }
  finish(column, sums);
}

template <class Pass>
void launch_tile_pass(const ColumnTiles& t, const Pass& pass, const char* name,
                      cudaStream_t stream) {
  if (t.width == 4) {
    tile_pass<4><<<t.blocks(), kTileThreads, 0, stream>>>(t, pass);
  } else {
    tile_pass<1><<<t.blocks(), kTileThreads, 0, stream>>>(t, pass);
  }
  check_launch(name);
}

template <class Pass>
void launch_tile_sums(const ColumnTiles& t, const Pass& pass, float* partial, const char* name,
                      cudaStream_t stream) {
  if (t.width == 4) {
    tile_sums<4><<<t.blocks(), kTileThreads, 0, stream>>>(t, pass, partial);
  } else {
    tile_sums<1><<<t.blocks(), kTileThreads, 0, stream>>>(t, pass, partial);
  }
  check_launch(name);
}

template <int K, class Finish>
void launch_finish_columns(const float* partial, std::int64_t chunks, std::int64_t columns,
                           const Finish& finish, const char* name, cudaStream_t stream) {
  finish_columns<K>
      <<<static_cast<unsigned>(blocks_for(columns, kWarp)), kWarp * kStrands, 0, stream>>>(
          partial, chunks, columns, finish);
  check_launch(name);
}

}  // namespace lockstep::kernels
