// Pieces that kernels are made of: 16-byte accesses, casts, and sums whose order is a function of
// the shape alone. A CUDA warp's lanes are `warp_lane` here: a lane is something else.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

namespace lockstep::kernels {

constexpr int kWarp = 32;
constexpr unsigned kFullMask = 0xFFFFFFFFu;

// N elements moved by one access.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};
template <class T>
using Pack16 = Pack<T, 16 / sizeof(T)>;

template <class P, class T>
__device__ inline P load(const T* from) {
  return *reinterpret_cast<const P*>(from);
}
template <class P, class T>
__device__ inline void store(T* to, const P& pack) {
  *reinterpret_cast<P*>(to) = pack;
}

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
template <class T>
__device__ inline T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) { return x; }
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }

// Sum over the 32 threads of a warp, the same bits in each: pairs at distance 16, 8, 4, 2, 1.
template <class T>
__device__ inline T warp_sum(T x) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    x += __shfl_xor_sync(kFullMask, x, distance);
  return x;
}
// NaN wins.
__device__ inline float max_nan(float a, float b) { return a != a || a > b ? a : b; }
__device__ inline float warp_max(float x) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    x = max_nan(x, __shfl_xor_sync(kFullMask, x, distance));
  return x;
}

// Sum over a block of kThreads (a multiple of 32, up to 1024), the same bits in every thread:
// within warps, then the warps' sums in the order of a warp sum. `scratch`: shared, kThreads / 32
// elements; may be used again after a __syncthreads().
template <int kThreads, class T>
__device__ inline T block_sum(T x, T* scratch) {
  static_assert(kThreads % kWarp == 0 && kThreads <= 1024);
  x = warp_sum(x);
  if constexpr (kThreads == kWarp) return x;
  const int warp = threadIdx.x / kWarp, warp_lane = threadIdx.x % kWarp;
  if (warp_lane == 0) scratch[warp] = x;
  __syncthreads();
  return warp_sum(warp_lane < kThreads / kWarp ? scratch[warp_lane] : T(0));
}

}  // namespace lockstep::kernels
