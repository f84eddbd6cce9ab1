#include "kernels/common.cuh"
#include "kernels/cross_entropy.h"
#include "kernels/launch.h"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 256;      // of a thread block that holds warps, one a row
constexpr int kWarpWidth = 1024;   // up to here a warp takes a row,
constexpr int kBlockWidth = 8192;  // up to here 256 threads, beyond 1024
constexpr int kNeverFirst = 0x7FFFFFFF;

// Neighbours that a thread takes at once: 16 bytes where every row starts on 16 bytes, else as many
// single elements, a row of threads apart.
template <class T, bool packed>
struct Reader {
  static constexpr int kAtOnce = packed ? 16 / sizeof(T) : 4;
  int width, threads, thread;

  __device__ int first() const { return packed ? kAtOnce * thread : thread; }
  __device__ int step() const { return kAtOnce * threads; }
  __device__ int place(int i, int k) const { return packed ? i + k : i + k * threads; }
  // Beyond the end: -inf, which adds nothing to a sum of exponentials.
  __device__ void load_at(const T* z, int i, float* x) const {
    if constexpr (packed) {
      const auto pack = load<Pack16<T>>(z + i);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) x[k] = to_float(pack.at[k]);
    } else {
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k)
        x[k] = place(i, k) < width ? to_float(z[place(i, k)]) : -INFINITY;
    }
  }
  __device__ void store_at(T* d, int i, const float* x) const {
    if constexpr (packed) {
      Pack16<T> pack;
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) pack.at[k] = from_float<T>(x[k]);
      store(d + i, pack);
    } else {
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k)
        if (place(i, k) < width) d[place(i, k)] = from_float<T>(x[k]);
    }
  }
};

// exp(x - top), where a top of -inf stands for "nothing yet".
__device__ inline float term(float x, float top) {
  return expf(x - (top == -INFINITY ? 0.0f : top));
}

// Maximum (NaN left out), sum of exp(x - maximum), and classes before the label.
struct RowTerms {
  float top = -INFINITY, sum = 0;
  int before = 0;
};

// One pass; the sum is moved to a larger maximum when one comes (Milakov & Gimelshein 2018).
template <bool ranked, class R, class T>
__device__ RowTerms terms_of(const R& reader, const T* z, int label, float own) {
  RowTerms t;
  for (int i = reader.first(); i < reader.width; i += reader.step()) {
    float x[R::kAtOnce];
    reader.load_at(z, i, x);
    float top = t.top;
#pragma unroll
    for (int k = 0; k < R::kAtOnce; ++k) top = fmaxf(top, x[k]);
    if (top > t.top) {
      t.sum *= term(t.top, top);
      t.top = top;
    }
#pragma unroll
    for (int k = 0; k < R::kAtOnce; ++k) t.sum += term(x[k], top);
    if constexpr (ranked) {
#pragma unroll
      for (int k = 0; k < R::kAtOnce; ++k)
        t.before += x[k] > own || (x[k] == own && reader.place(i, k) < label);
    }
  }
  return t;
}

// NaN is left out.
__device__ inline float warp_top(float x) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    x = fmaxf(x, __shfl_xor_sync(kFullMask, x, distance));
  return x;
}

// Over the kRowThreads threads of a row: a warp or a block.
struct RowSums {
  float top;
  double sum;
  int before;
};
template <int kRowThreads>
__device__ RowSums combine(const RowTerms& t, double* scratch) {
  float top = warp_top(t.top);
  if constexpr (kRowThreads > kWarp) {
    auto* const tops = reinterpret_cast<float*>(scratch);
    const int warp = threadIdx.x / kWarp, warp_lane = threadIdx.x % kWarp;
    if (warp_lane == 0) tops[warp] = top;
    __syncthreads();
    top = warp_top(warp_lane < kRowThreads / kWarp ? tops[warp_lane] : -INFINITY);
    __syncthreads();
  } else {
    __syncwarp();  // all have read the label's own score before one writes in its place
  }
  const double own = static_cast<double>(t.sum) * term(t.top, top);
  double sum = block_sum<kRowThreads>(own, scratch);
  if constexpr (kRowThreads > kWarp) __syncthreads();
  const int before = block_sum<kRowThreads>(t.before, reinterpret_cast<int*>(scratch));
  if (top == -INFINITY) sum = NAN;  // nothing but -inf has no softmax
  return {top, sum, before};
}

template <class T, int kRowThreads, bool packed>
__global__ void __launch_bounds__(kRowThreads == kWarp ? kThreads : kRowThreads)
    cross_entropy_kernel(CrossEntropyRows<T> r) {
  __shared__ double scratch[kWarp];
  constexpr int kRows = kRowThreads == kWarp ? kThreads / kWarp : 1;  // of a thread block
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * kRows + (kRows > 1 ? threadIdx.x / kRowThreads : 0);
  if (row >= r.rows) return;  // a whole warp
  const int width = static_cast<int>(r.width), thread = threadIdx.x % kRowThreads;
  const Reader<T, packed> reader{width, kRowThreads, thread};
  using R = Reader<T, packed>;
  const T* const z = r.logits + row * width;
  T* const d = r.d_logits == nullptr ? nullptr : r.d_logits + row * width;
  const int label = r.labels[row];
  float x[R::kAtOnce] = {};
  if (label == -1) {
    if (thread == 0) {
      r.losses[row] = 0;
      if (r.rank != nullptr) r.rank[row] = -1;
    }
    if (d == nullptr) return;
    for (int i = reader.first(); i < width; i += reader.step()) reader.store_at(d, i, x);
    return;
  }
  const float own = label >= 0 && label < width ? to_float(z[label]) : NAN;
  const RowTerms terms = r.rank == nullptr ? terms_of<false>(reader, z, label, own)
                                           : terms_of<true>(reader, z, label, own);
  const RowSums sums = combine<kRowThreads>(terms, scratch);
  if (thread == 0) {
    r.losses[row] = log(sums.sum) - (static_cast<double>(own) - sums.top);
    if (r.rank != nullptr) r.rank[row] = own == own ? sums.before : kNeverFirst;
  }
  if (d == nullptr) return;
  const float scale = own == own ? static_cast<float>(1 / sums.sum) : NAN;
  for (int i = reader.first(); i < width; i += reader.step()) {
    reader.load_at(z, i, x);
#pragma unroll
    for (int k = 0; k < R::kAtOnce; ++k)
      x[k] = expf(x[k] - sums.top) * scale - (reader.place(i, k) == label ? 1.0f : 0.0f);
    reader.store_at(d, i, x);
  }
}

// A thread a row: the maximum, then the sum, then the gradient.
template <class T>
__global__ void cross_entropy_naive(CrossEntropyRows<T> r) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= r.rows) return;
  const T* const z = r.logits + row * r.width;
  const int label = r.labels[row];
  const bool counts = label != -1;
  const float own = label >= 0 && label < r.width ? to_float(z[label]) : NAN;
  float top = -INFINITY;
  int before = 0;
  for (int c = 0; c < r.width; ++c) {
    const float x = to_float(z[c]);
    top = fmaxf(top, x);
    before += x > own || (x == own && c < label);
  }
  double sum = 0;
  for (int c = 0; c < r.width; ++c) sum += expf(to_float(z[c]) - top);
  r.losses[row] = counts ? log(sum) - (static_cast<double>(own) - top) : 0;
  if (r.rank != nullptr) r.rank[row] = !counts ? -1 : own == own ? before : kNeverFirst;
  if (r.d_logits == nullptr) return;
  const float scale = own == own ? static_cast<float>(1 / sum) : NAN;
  for (int c = 0; c < r.width; ++c) {
    const float d = expf(to_float(z[c]) - top) * scale - (c == label ? 1.0f : 0.0f);
    r.d_logits[row * r.width + c] = from_float<T>(counts ? d : 0.0f);
  }
}

template <class T, bool packed>
void launch(const CrossEntropyRows<T>& r, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(r.rows);
  if (r.width <= kWarpWidth) {
    const auto blocks = static_cast<unsigned>(blocks_for(r.rows, kThreads / kWarp));
    cross_entropy_kernel<T, kWarp, packed><<<blocks, kThreads, 0, stream>>>(r);
  } else if (r.width <= kBlockWidth) {
    cross_entropy_kernel<T, 256, packed><<<rows, 256, 0, stream>>>(r);
  } else {
    cross_entropy_kernel<T, 1024, packed><<<rows, 1024, 0, stream>>>(r);
  }
  check_launch("cross_entropy");
}

template <class T>
void launch(const CrossEntropyRows<T>& r, cudaStream_t stream) {
  if (r.rows == 0) return;
  const auto places = reinterpret_cast<std::uintptr_t>(r.logits) |
                      reinterpret_cast<std::uintptr_t>(r.d_logits) | r.width * sizeof(T);
  if (places % 16 == 0) {
    launch<T, true>(r, stream);
  } else {
    launch<T, false>(r, stream);
  }
}

template <class T>
void launch_naive(const CrossEntropyRows<T>& r, cudaStream_t stream) {
  if (r.rows == 0) return;
  cross_entropy_naive<<<static_cast<unsigned>(blocks_for(r.rows, 64)), 64, 0, stream>>>(r);
  check_launch("cross_entropy_reference");
}

constexpr int kSumThreads = 1024;

// One thread block: a thread takes every 1024th row, then a block sum.
__global__ void __launch_bounds__(kSumThreads)
    add_losses_kernel(const double* losses, const std::int32_t* labels, std::int64_t rows,
                      double* sum, std::int64_t* counted) {
  __shared__ double scratch[kWarp];
  double total = 0;
  long long count = 0;
#pragma unroll 4
  for (std::int64_t i = threadIdx.x; i < rows; i += kSumThreads) {
    total += losses[i];
    count += labels[i] != -1;
  }
  total = block_sum<kSumThreads>(total, scratch);
  __syncthreads();
  count = block_sum<kSumThreads>(count, reinterpret_cast<long long*>(scratch));
  if (threadIdx.x == 0) *sum += total, *counted += count;
}

__global__ void __launch_bounds__(kSumThreads)
    add_hits_kernel(const std::int32_t* rank, std::int64_t rows, int k, std::int64_t* counts) {
  __shared__ long long scratch[kWarp];
  long long hits = 0, total = 0;
#pragma unroll 4
  for (std::int64_t i = threadIdx.x; i < rows; i += kSumThreads) {
    const int before = rank[i];
    hits += before >= 0 && before < k;
    total += before >= 0;
  }
  hits = block_sum<kSumThreads>(hits, scratch);
  __syncthreads();
  total = block_sum<kSumThreads>(total, scratch);
  if (threadIdx.x == 0) counts[0] += hits, counts[1] += total;
}

}  // namespace

void cross_entropy(const CrossEntropyRows<float>& r, cudaStream_t stream) { launch(r, stream); }
void cross_entropy(const CrossEntropyRows<__nv_bfloat16>& r, cudaStream_t stream) {
  launch(r, stream);
}
void cross_entropy_reference(const CrossEntropyRows<float>& r, cudaStream_t stream) {
  launch_naive(r, stream);
}
void cross_entropy_reference(const CrossEntropyRows<__nv_bfloat16>& r, cudaStream_t stream) {
  launch_naive(r, stream);
}

void add_cross_entropy(const double* losses, const std::int32_t* labels, std::int64_t rows,
                       double* sum, std::int64_t* counted, cudaStream_t stream) {
  add_losses_kernel<<<1, kSumThreads, 0, stream>>>(losses, labels, rows, sum, counted);
  check_launch("add_cross_entropy");
}

void add_hits(const std::int32_t* rank, std::int64_t rows, int k, std::int64_t* counts,
              cudaStream_t stream) {
  add_hits_kernel<<<1, kSumThreads, 0, stream>>>(rank, rows, k, counts);
  check_launch("add_hits");
}

}  // namespace lockstep::kernels
