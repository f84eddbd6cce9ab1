#include "tests/ptx/kernels/runtime_kernels.h"

namespace lockstep::ptx {
namespace {

__global__ void multiply_add(int* x, int factor, int term) { *x = *x * factor + term; }

__global__ void write(int* x, long at) { x[at] = 1; }

__global__ void shared(int* x) {
  extern __shared__ int scratch[];
  scratch[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  if (threadIdx.x == 0) *x = scratch[blockDim.x - 1];
}

__global__ void __launch_bounds__(64) bounded(int* x) { *x = 1; }

template <class... Parameters>
const void* address(void (*kernel)(Parameters...)) {
  return reinterpret_cast<const void*>(kernel);
}

}  // namespace

const void* multiply_add_kernel() { return address(multiply_add); }
const void* write_kernel() { return address(write); }
const void* shared_kernel() { return address(shared); }
const void* bounded_kernel() { return address(bounded); }

}  // namespace lockstep::ptx
