#include "kernels/common.cuh"
#include "kernels/embedding.h"
#include "kernels/launch.h"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;
constexpr int kTile = 1024;  // places that one warp ranks
constexpr int kScanThreads = 1024;

// The row of a token in the table; `vocabulary` for numbers outside it.
__device__ inline unsigned key_of(const std::int32_t* ids, int row, int vocabulary) {
  const auto id = static_cast<unsigned>(ids[row]);
  return id < static_cast<unsigned>(vocabulary) ? id : static_cast<unsigned>(vocabulary);
}

// A warp a row.
template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    embedding_kernel(EmbeddingShape s, const std::int32_t* ids, const T* table, T* y) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (row >= s.rows) return;
  const std::int64_t id = ids[row];
  const bool known = id >= 0 && id < s.vocabulary;
#pragma unroll 4
  for (std::int64_t c = N * (threadIdx.x % kWarp); c < s.width; c += N * kWarp) {
    Pack<T, N> values;
#pragma unroll
    for (int k = 0; k < N; ++k) values.at[k] = from_float<T>(NAN);
    if (known) values = load<Pack<T, N>>(table + id * s.width + c);
    store(y + row * s.width + c, values);
  }
}

// One pass of a stable radix sort of the places by (a digit of) their number. order null: the
// places as they come.
struct DigitPass {
  const std::int32_t* ids;
  const std::int32_t* order;
  int rows, vocabulary, shift, tiles;
  __device__ int row(int i) const { return order == nullptr ? i : order[i]; }
  __device__ unsigned digit(int row) const {
    return key_of(ids, row, vocabulary) >> shift & (kDigits - 1);
  }
};

// counts[digit][tile]. Whole numbers: their order does not matter.
__global__ void __launch_bounds__(kThreads) count_digits(DigitPass p, int* counts) {
  __shared__ int count[kDigits];
  static_assert(kDigits == kThreads);
  count[threadIdx.x] = 0;
  __syncthreads();
  const int begin = static_cast<int>(blockIdx.x) * kTile, end = min(begin + kTile, p.rows);
  for (int i = begin + static_cast<int>(threadIdx.x); i < end; i += kThreads)
    atomicAdd(&count[p.digit(p.row(i))], 1);
  __syncthreads();
  counts[threadIdx.x * p.tiles + blockIdx.x] = count[threadIdx.x];
}

// counts[i] becomes the sum of those before it. One thread block, four counts a thread at a time.
__global__ void __launch_bounds__(kScanThreads) sum_before(int* counts, int n) {
  __shared__ int warp_totals[kWarp];
  const int warp = threadIdx.x / kWarp, warp_lane = threadIdx.x % kWarp;
  int carry = 0;
  for (int begin = 0; begin < n; begin += 4 * kScanThreads) {
    const int i = begin + 4 * static_cast<int>(threadIdx.x);
    int own[4], total = 0;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      own[k] = total;
      if (i + k < n) total += counts[i + k];
    }
    int through = total;  // of the warp's threads up to this one
#pragma unroll
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const int other = __shfl_up_sync(kFullMask, through, distance);
      if (warp_lane >= distance) through += other;
    }
    if (warp_lane == kWarp - 1) warp_totals[warp] = through;
    __syncthreads();
    int of_warp = warp_totals[warp_lane], all = of_warp;
#pragma unroll
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const int other = __shfl_up_sync(kFullMask, all, distance);
      if (warp_lane >= distance) all += other;
    }
    const int before = carry + __shfl_sync(kFullMask, all - of_warp, warp) + through - total;
    carry += __shfl_sync(kFullMask, all, kWarp - 1);
#pragma unroll
    for (int k = 0; k < 4; ++k)
      if (i + k < n) counts[i + k] = before + own[k];
    __syncthreads();
  }
}

// A warp a tile: 32 places at a time find their rank among equal digits.
__global__ void __launch_bounds__(kWarp)
    place_digits(DigitPass p, const int* begins, std::int32_t* sorted) {
  __shared__ int next[kDigits];
  for (int d = threadIdx.x; d < kDigits; d += kWarp) next[d] = begins[d * p.tiles + blockIdx.x];
  __syncwarp();
  const int begin = static_cast<int>(blockIdx.x) * kTile, end = min(begin + kTile, p.rows);
  for (int first = begin; first < end; first += kWarp) {
    const int i = first + static_cast<int>(threadIdx.x);
    const bool there = i < end;
    const int row = there ? p.row(i) : 0;
    const unsigned digit = there ? p.digit(row) : kDigits;
    const unsigned equal = __match_any_sync(kFullMask, digit);
    const int rank = __popc(equal & ((1u << threadIdx.x) - 1));
    if (there) sorted[next[digit] + rank] = row;
    __syncwarp();
    if (there && rank == 0) next[digit] += __popc(equal);
    __syncwarp();
  }
}

// [begins[t], ends[t]) in the sorted places is what has number t; both +0 before.
__global__ void __launch_bounds__(kThreads)
    find_ranges(const std::int32_t* ids, const std::int32_t* sorted, int rows, int vocabulary,
                int* begins, int* ends) {
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (i >= rows) return;
  const auto none = static_cast<unsigned>(vocabulary);
  const unsigned key = key_of(ids, sorted[i], vocabulary);
  if (key == none) return;
  if (i == 0 || key_of(ids, sorted[i - 1], vocabulary) != key) begins[key] = i;
  if (i == rows - 1 || key_of(ids, sorted[i + 1], vocabulary) != key) ends[key] = i + 1;
}

// A warp a row of the table and 32 packs of its columns.
template <int N>
__global__ void __launch_bounds__(kThreads, 4)
    add_rows(EmbeddingShape s, const std::int32_t* sorted, const int* begins, const int* ends,
             const float* d_y, const float* carried, float* d_table) {
  constexpr int kAhead = 8;
  const std::int64_t token = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const std::int64_t column =
      N * (static_cast<std::int64_t>(blockIdx.y) * kWarp + threadIdx.x % kWarp);
  if (token >= s.vocabulary || column >= s.width) return;
  const int end = ends[token];
  int i = begins[token];
  if (i == end && carried == d_table) return;
  using P = Pack<float, N>;
  P sum{};
  if (carried != nullptr) sum = load<P>(carried + token * s.width + column);
  const float* const from = d_y + column;
  for (; i + kAhead <= end; i += kAhead) {
    P next[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) next[k] = load<P>(from + sorted[i + k] * s.width);
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
#pragma unroll
      for (int c = 0; c < N; ++c) sum.at[c] += next[k].at[c];
    }
  }
  for (; i < end; ++i) {
    const P next = load<P>(from + sorted[i] * s.width);
#pragma unroll
    for (int c = 0; c < N; ++c) sum.at[c] += next.at[c];
  }
  store(d_table + token * s.width + column, sum);
}

__global__ void add_rows_naive(EmbeddingShape s, const std::int32_t* ids, const float* d_y,
                               float* d_table) {
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= s.width) return;
  for (std::int64_t r = 0; r < s.rows; ++r) {
    const std::int64_t id = ids[r];
    if (id >= 0 && id < s.vocabulary) d_table[id * s.width + column] += d_y[r * s.width + column];
  }
}

// Where things lie in the workspace, each on 256 bytes.
struct Workspace {
  std::int64_t tiles;
  std::size_t orders[2], counts, begins, ends, bytes;
  explicit Workspace(const EmbeddingShape& s) : tiles(blocks_for(s.rows, kTile)), bytes(0) {
    orders[0] = take(s.rows), orders[1] = take(s.rows), counts = take(kDigits * tiles);
    begins = take(s.vocabulary), ends = take(s.vocabulary);
  }

 private:
  std::size_t take(std::int64_t words) {
    const std::size_t at = bytes;
    bytes += (sizeof(std::int32_t) * words + 255) / 256 * 256;
    return at;
  }
};

bool on_16_bytes(const void* a, const void* b, std::int64_t row_bytes) {
  const auto places = reinterpret_cast<std::uintptr_t>(a) | reinterpret_cast<std::uintptr_t>(b) |
                      static_cast<std::uintptr_t>(row_bytes);
  return places % 16 == 0;
}

}  // namespace

template <class T>
void embedding(const EmbeddingShape& s, const std::int32_t* ids, const T* table, T* y,
               cudaStream_t stream) {
  if (s.rows == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(s.rows, kWarps));
  if (on_16_bytes(table, y, s.width * sizeof(T))) {
    embedding_kernel<T, 16 / sizeof(T)><<<blocks, kThreads, 0, stream>>>(s, ids, table, y);
  } else {
    embedding_kernel<T, 1><<<blocks, kThreads, 0, stream>>>(s, ids, table, y);
  }
  check_launch("embedding");
}
template void embedding(const EmbeddingShape&, const std::int32_t*, const float*, float*,
                        cudaStream_t);
template void embedding(const EmbeddingShape&, const std::int32_t*, const __nv_bfloat16*,
                        __nv_bfloat16*, cudaStream_t);

std::size_t embedding_workspace(const EmbeddingShape& s) { return Workspace(s).bytes; }

void embedding_backward(const EmbeddingShape& s, const std::int32_t* ids, const float* d_y,
                        const float* carried, float* d_table, void* workspace,
                        cudaStream_t stream) {
  const Workspace w(s);
  const auto at = [&](std::size_t offset) {
    return reinterpret_cast<std::int32_t*>(static_cast<char*>(workspace) + offset);
  };
  const int rows = static_cast<int>(s.rows), vocabulary = static_cast<int>(s.vocabulary);
  const int tiles = static_cast<int>(w.tiles);
  int* const begins = at(w.begins);
  int* const ends = at(w.ends);
  cudaMemsetAsync(begins, 0, w.bytes - w.begins, stream);  // and ends; checked with the launches
  const std::int32_t* order = nullptr;
  if (rows > 0) {
    for (int pass = 0; std::int64_t{vocabulary} >> pass * kDigitBits > 0; ++pass) {
      const DigitPass p{ids, order, rows, vocabulary, pass * kDigitBits, tiles};
      std::int32_t* const sorted = at(w.orders[pass % 2]);
      count_digits<<<tiles, kThreads, 0, stream>>>(p, at(w.counts));
      sum_before<<<1, kScanThreads, 0, stream>>>(at(w.counts), kDigits * tiles);
      place_digits<<<tiles, kWarp, 0, stream>>>(p, at(w.counts), sorted);
      order = sorted;
    }
    const auto blocks = static_cast<unsigned>(blocks_for(s.rows, kThreads));
    find_ranges<<<blocks, kThreads, 0, stream>>>(ids, order, rows, vocabulary, begins, ends);
  }
  const auto blocks = static_cast<unsigned>(blocks_for(s.vocabulary, kWarps));
  if (on_16_bytes(d_y, d_table, 4 * s.width) && on_16_bytes(carried, nullptr, 0)) {
    const dim3 grid(blocks, static_cast<unsigned>(blocks_for(s.width, 4 * kWarp)));
    add_rows<4><<<grid, kThreads, 0, stream>>>(s, order, begins, ends, d_y, carried, d_table);
  } else {
    const dim3 grid(blocks, static_cast<unsigned>(blocks_for(s.width, kWarp)));
    add_rows<1><<<grid, kThreads, 0, stream>>>(s, order, begins, ends, d_y, carried, d_table);
  }
  check_launch("embedding_backward");
}

void embedding_backward_reference(const EmbeddingShape& s, const std::int32_t* ids,
                                  const float* d_y, float* d_table, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(blocks_for(s.width, 64));
  add_rows_naive<<<blocks, 64, 0, stream>>>(s, ids, d_y, d_table);
  check_launch("embedding_backward_reference");
}

}  // namespace lockstep::kernels
