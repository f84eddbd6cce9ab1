// Passes over vectors without columns: 16 bytes of the output's type a thread, the last few
// elements one at a time.
#pragma once
#include <cstdint>

#include "kernels/common.cuh"
#include "kernels/launch.h"

namespace lockstep::kernels {

constexpr int kFlatThreads = 256;

// Pass::at<W>(i) computes elements [i, i + W); i is a multiple of W.
template <int W, class Pass>
__global__ void __launch_bounds__(kFlatThreads) flat_pass(std::int64_t n, Pass pass) {
  const std::int64_t i = W * (static_cast<std::int64_t>(blockIdx.x) * kFlatThreads + threadIdx.x);
  if (i + W <= n) {
    pass.template at<W>(i);
  } else {
    for (std::int64_t k = i; k < n; ++k) pass.template at<1>(k);
  }
}

template <int W, class Pass>
void launch_flat_pass(std::int64_t n, const Pass& pass, const char* name, cudaStream_t stream) {
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(n, W * kFlatThreads));
  flat_pass<W><<<blocks, kFlatThreads, 0, stream>>>(n, pass);
  check_launch(name);
}
// Elements in 16 bytes.
template <class T>
constexpr int kPerAccess = 16 / sizeof(T);

// W elements as floats, and back (to nearest even).
template <int W, class T>
__device__ inline Pack<float, W> load_floats(const T* from) {
  const auto pack = load<Pack<T, W>>(from);
  Pack<float, W> x;
#pragma unroll
  for (int w = 0; w < W; ++w) x.at[w] = to_float(pack.at[w]);
  return x;
}
template <int W, class T>
__device__ inline void store_floats(T* to, const Pack<float, W>& x) {
  Pack<T, W> pack;
#pragma unroll
  for (int w = 0; w < W; ++w) pack.at[w] = from_float<T>(x.at[w]);
  store(to, pack);
}

}  // namespace lockstep::kernels
