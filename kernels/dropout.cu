#include "kernels/dropout.cuh"
#include "kernels/flat_pass.cuh"

namespace lockstep::kernels {
namespace {

template <class T>
struct DropoutPass {
  T* y;
  const T* x;
  DropPlan drop;

  template <int W>
  __device__ void at(std::int64_t i) const {
    constexpr int kDrawn = W < 4 ? W : 4;
    Pack<float, W> v = load_floats<W>(x + i);
    const DropState state(drop);
    if (state.on) {
#pragma unroll
      for (int w = 0; w < W; w += kDrawn)
        drop_elements<kDrawn>(*reinterpret_cast<float(*)[kDrawn]>(v.at + w), state, drop, i + w);
    }
    store_floats<W>(y + i, v);
  }
};

__global__ void dropout_naive(float* y, const float* x, std::int64_t n, DropPlan drop) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float v[1] = {x[i]};
  const DropState state(drop);
  if (state.on) drop_elements<1>(v, state, drop, i);
  y[i] = v[0];
}

}  // namespace

void dropout(float* y, const float* x, std::int64_t n, const Drop& drop, cudaStream_t stream) {
  launch_flat_pass<4>(n, DropoutPass<float>{y, x, DropPlan(drop)}, "dropout", stream);
}
void dropout(__nv_bfloat16* y, const __nv_bfloat16* x, std::int64_t n, const Drop& drop,
             cudaStream_t stream) {
  launch_flat_pass<8>(n, DropoutPass<__nv_bfloat16>{y, x, DropPlan(drop)}, "dropout", stream);
}
void dropout_reference(float* y, const float* x, std::int64_t n, const Drop& drop,
                       cudaStream_t stream) {
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(n, kFlatThreads));
  dropout_naive<<<blocks, kFlatThreads, 0, stream>>>(y, x, n, DropPlan(drop));
  check_launch("dropout_reference");
}

}  // namespace lockstep::kernels
