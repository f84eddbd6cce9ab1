// Kernels with one fault each, for the tests that see it noticed; beside some, the form without it.
#include <cstdint>

namespace {

__device__ std::uint32_t shared_offset(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

template <bool kBarrier>
__device__ void reverse(float* x) {
  __shared__ float tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  if (kBarrier) __syncthreads();
  x[threadIdx.x] = tile[63 - threadIdx.x];
}

}  // namespace

extern "C" __global__ void reverse_with_barrier(float* x) { reverse<true>(x); }
extern "C" __global__ void reverse_without_barrier(float* x) { reverse<false>(x); }

// Through a shuffle alone, which orders no memory.
extern "C" __global__ void neighbour(float* x, int ordered) {
  __shared__ float tile[32];
  tile[threadIdx.x] = x[threadIdx.x];
  if (ordered) __syncwarp();
  const float other = __shfl_sync(~0u, x[threadIdx.x], 3);
  x[threadIdx.x] = tile[threadIdx.x ^ 1] + other;
}

// All blocks write one element: plainly, or by an atomic.
extern "C" __global__ void same_element(float* x, int atomically) {
  if (threadIdx.x > 0) return;
  if (atomically)
    atomicAdd(x, 1.0f);
  else
    *x += 1.0f;
}

extern "C" __global__ void reads_beyond(const float* x, float* y, int n, int shift) {
  if (threadIdx.x < n) y[threadIdx.x] = x[threadIdx.x + shift];
}

extern "C" __global__ void misaligned(const char* x, float4* y) {
  *y = *reinterpret_cast<const float4*>(x + 4);
}

extern "C" __global__ void null_pointer(float* y, const float* x) { *y = x[3]; }

extern "C" __global__ void beyond_shared(float* y, int i) {
  extern __shared__ float tile[];
  tile[i] = 1;
  __syncthreads();
  *y = tile[0];
}

extern "C" __global__ void uninitialised(float* y) {
  __shared__ float tile[32];
  if (threadIdx.x == 0) tile[0] = 1;
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void divergent_barrier(float* y) {
  if (threadIdx.x % 2) {
    y[0] = 1;
    asm volatile("bar.sync 0;" ::: "memory");
  } else {
    y[1] = 1;
    asm volatile("bar.sync 0;" ::: "memory");
    y[2] = 1;
  }
}

// Half of a warp waits at a barrier, the other half for it in a shuffle.
extern "C" __global__ void waits_for_ever(int* y) {
  if (threadIdx.x < 16) asm volatile("bar.sync 0;" ::: "memory");
  y[threadIdx.x] = __shfl_xor_sync(~0u, y[threadIdx.x], 1);
}

extern "C" __global__ void lanes_missing(int* y) {
  if (threadIdx.x >= 24) return;
  y[threadIdx.x] = __shfl_xor_sync(~0u, y[threadIdx.x], 1);
}

extern "C" __global__ void no_wait(const float* x, float* y, int wait) {
  __shared__ __align__(16) float tile[4];
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_offset(tile)), "l"(x));
  asm volatile("cp.async.commit_group;");
  if (wait) asm volatile("cp.async.wait_group 0;" ::: "memory");
  *y = tile[1];
}

extern "C" __global__ void __launch_bounds__(64) at_most_64(float* y) { y[threadIdx.x] = 1; }

extern "C" __global__ void asserts(int* y) {
  if (y[0] != 3) __trap();
}
