#include "kernels/activation.cuh"
#include "kernels/column_tiles.cuh"
#include "kernels/flat_pass.cuh"
#include "kernels/swiglu.h"

namespace lockstep::kernels {
namespace {

struct NoColumn {};

template <class T>
struct SwiGluPass {
  static constexpr int kAtOnce = 4;
  T* y;
  const T* x;
  std::int64_t width;

  template <int W>
  using Column = NoColumn;
  template <int W>
  struct Fetched {
    Pack<float, W> gate, up;
  };
  template <int W>
  __device__ NoColumn column(std::int64_t) const {
    return {};
  }
  template <int W>
  __device__ Fetched<W> fetch(std::int64_t row, std::int64_t column) const {
    const T* const from = x + 2 * row * width + column;
    return {load_floats<W>(from), load_floats<W>(from + width)};
  }
  template <int W>
  __device__ void apply(NoColumn, const Fetched<W>& v, std::int64_t row,
                        std::int64_t column) const {
    Pack<float, W> out;
#pragma unroll
    for (int w = 0; w < W; ++w) out.at[w] = gated(v.gate.at[w], v.gate.at[w]) * v.up.at[w];
    store_floats<W>(y + row * width + column, out);
  }
};

template <class T>
struct SwiGluGradientPass {
  static constexpr int kAtOnce = 2;
  T* dx;
  const T *dy, *x;
  std::int64_t width;

  template <int W>
  using Column = NoColumn;
  template <int W>
  struct Fetched {
    Pack<float, W> dy, gate, up;
  };
  template <int W>
  __device__ NoColumn column(std::int64_t) const {
    return {};
  }
  template <int W>
  __device__ Fetched<W> fetch(std::int64_t row, std::int64_t column) const {
    const T* const from = x + 2 * row * width + column;
    return {load_floats<W>(dy + row * width + column), load_floats<W>(from),
            load_floats<W>(from + width)};
  }
  template <int W>
  __device__ void apply(NoColumn, const Fetched<W>& v, std::int64_t row,
                        std::int64_t column) const {
    Pack<float, W> d_gate, d_up;
#pragma unroll
    for (int w = 0; w < W; ++w) {
      const float d = v.dy.at[w], gate = v.gate.at[w];
      const Gate sigmoid(gate);
      d_gate.at[w] = d * v.up.at[w] * fmaf(sigmoid.slope, gate, sigmoid.value);
      d_up.at[w] = d * (gate * sigmoid.value);
    }
    T* const to = dx + 2 * row * width + column;
    store_floats<W>(to, d_gate);
    store_floats<W>(to + width, d_up);
  }
};

__global__ void swiglu_naive(float* y, const float* x, std::int64_t n, std::int64_t width) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float* const row = x + i / width * 2 * width;
  const double gate = row[i % width], up = row[width + i % width];
  y[i] = static_cast<float>(gate / (1 + exp(-gate)) * up);
}
__global__ void swiglu_gradient_naive(float* dx, const float* dy, const float* x, std::int64_t n,
                                      std::int64_t width) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const std::int64_t place = i / width * 2 * width + i % width;
  const double gate = x[place], up = x[place + width], sigmoid = 1 / (1 + exp(-gate));
  dx[place] = static_cast<float>(dy[i] * up * sigmoid * (1 + gate * (1 - sigmoid)));
  dx[place + width] = static_cast<float>(dy[i] * gate * sigmoid);
}

}  // namespace

void swiglu_reference(float* y, const float* x, std::int64_t rows, std::int64_t width,
                      cudaStream_t stream) {
  const std::int64_t n = rows * width;
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(n, kFlatThreads));
  swiglu_naive<<<blocks, kFlatThreads, 0, stream>>>(y, x, n, width);
  check_launch("swiglu_reference");
}
void swiglu_gradient_reference(float* dx, const float* dy, const float* x, std::int64_t rows,
                               std::int64_t width, cudaStream_t stream) {
  const std::int64_t n = rows * width;
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(n, kFlatThreads));
  swiglu_gradient_naive<<<blocks, kFlatThreads, 0, stream>>>(dx, dy, x, n, width);
  check_launch("swiglu_gradient_reference");
}

void swiglu(float* y, const float* x, std::int64_t rows, std::int64_t width, cudaStream_t stream) {
  launch_tile_pass(column_tiles(rows, width), SwiGluPass<float>{y, x, width}, "swiglu", stream);
}
void swiglu(__nv_bfloat16* y, const __nv_bfloat16* x, std::int64_t rows, std::int64_t width,
            cudaStream_t stream) {
  launch_tile_pass(column_tiles(rows, width), SwiGluPass<__nv_bfloat16>{y, x, width}, "swiglu",
                   stream);
}
void swiglu_gradient(float* dx, const float* dy, const float* x, std::int64_t rows,
                     std::int64_t width, cudaStream_t stream) {
  launch_tile_pass(column_tiles(rows, width), SwiGluGradientPass<float>{dx, dy, x, width},
                   "swiglu_gradient", stream);
}
void swiglu_gradient(__nv_bfloat16* dx, const __nv_bfloat16* dy, const __nv_bfloat16* x,
                     std::int64_t rows, std::int64_t width, cudaStream_t stream) {
  launch_tile_pass(column_tiles(rows, width), SwiGluGradientPass<__nv_bfloat16>{dx, dy, x, width},
                   "swiglu_gradient", stream);
}

}  // namespace lockstep::kernels
