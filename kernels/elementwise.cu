#include "kernels/common.cuh"
#include "kernels/elementwise.h"
#include "kernels/launch.h"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 256;

// Four elements a thread: one 16-byte access to each vector.
__global__ void __launch_bounds__(kThreads) add_kernel(float* y, const float* a, const float* b,
                                                       std::int64_t n) {
  const std::int64_t i = 4 * (static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x);
  if (i + 4 <= n) {
    const auto x = load<Pack16<float>>(a + i), z = load<Pack16<float>>(b + i);
    Pack16<float> sum;
#pragma unroll
    for (int k = 0; k < 4; ++k) sum.at[k] = x.at[k] + z.at[k];
    store(y + i, sum);
  } else {
    for (std::int64_t k = i; k < n; ++k) y[k] = a[k] + b[k];
  }
}

__global__ void add_naive(float* y, const float* a, const float* b, std::int64_t n) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a[i] + b[i];
}

}  // namespace

void add(float* y, const float* a, const float* b, std::int64_t n, cudaStream_t stream) {
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(n, 4 * kThreads));
  add_kernel<<<blocks, kThreads, 0, stream>>>(y, a, b, n);
  check_launch("add");
}

void add_reference(float* y, const float* a, const float* b, std::int64_t n, cudaStream_t stream) {
  if (n == 0) return;
  add_naive<<<static_cast<unsigned>(blocks_for(n, kThreads)), kThreads, 0, stream>>>(y, a, b, n);
  check_launch("add_reference");
}

}  // namespace lockstep::kernels
