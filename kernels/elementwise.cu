#include "kernels/activation.cuh"
#include "kernels/elementwise.h"
#include "kernels/flat_pass.cuh"
#include "kernels/philox.cuh"

namespace lockstep::kernels {
namespace {

template <bool with_relu>
struct AddPass {
  float* y;
  const float *a, *b;
  template <int W>
  __device__ void at(std::int64_t i) const {
    const auto x = load<Pack<float, W>>(a + i), z = load<Pack<float, W>>(b + i);
    Pack<float, W> sum;
#pragma unroll
    for (int w = 0; w < W; ++w) {
      sum.at[w] = x.at[w] + z.at[w];
      if constexpr (with_relu) sum.at[w] = relu(sum.at[w]);
    }
    store(y + i, sum);
  }
};

template <class T>
struct ActivatePass {
  T* y;
  const T* x;
  ops::Activation activation;
  float slope;
  template <int W>
  __device__ void at(std::int64_t i) const {
    Pack<float, W> v = load_floats<W>(x + i);
#pragma unroll
    for (int w = 0; w < W; ++w) v.at[w] = activate(activation, v.at[w], slope);
    store_floats<W>(y + i, v);
  }
};

template <class T>
struct ActivateGradientPass {
  T* dx;
  const T *dy, *from;
  ops::Activation activation;
  float slope;
  template <int W>
  __device__ void at(std::int64_t i) const {
    Pack<float, W> d = load_floats<W>(dy + i);
    const Pack<float, W> v = load_floats<W>(from + i);
#pragma unroll
    for (int w = 0; w < W; ++w) d.at[w] = activation_gradient(activation, d.at[w], v.at[w], slope);
    store_floats<W>(dx + i, d);
  }
};

struct ScalePass {
  float* x;
  float factor;
  template <int W>
  __device__ void at(std::int64_t i) const {
    auto v = load<Pack<float, W>>(x + i);
#pragma unroll
    for (int w = 0; w < W; ++w) v.at[w] *= factor;
    store(x + i, v);
  }
};

struct AxpyPass {
  float* y;
  const float* x;
  float factor;
  template <int W>
  __device__ void at(std::int64_t i) const {
    auto v = load<Pack<float, W>>(y + i);
    const auto u = load<Pack<float, W>>(x + i);
#pragma unroll
    for (int w = 0; w < W; ++w) v.at[w] = fmaf(factor, u.at[w], v.at[w]);
    store(y + i, v);
  }
};

struct FillPass {
  float* x;
  float value;
  template <int W>
  __device__ void at(std::int64_t i) const {
    Pack<float, W> v;
#pragma unroll
    for (int w = 0; w < W; ++w) v.at[w] = value;
    store(x + i, v);
  }
};

// A NaN whose set bits all lie in the lower half would become infinite without its quiet bit.
__device__ inline float rounded_to_bf16(float x) {
  const unsigned bits = __float_as_uint(x);
  const unsigned rounded = x == x ? bits + 0x7FFFu + (bits >> 16 & 1u) : bits | 0x400000u;
  return __uint_as_float(rounded & 0xFFFF0000u);
}

struct RoundPass {
  float* y;
  const float* x;
  template <int W>
  __device__ void at(std::int64_t i) const {
    auto v = load<Pack<float, W>>(x + i);
#pragma unroll
    for (int w = 0; w < W; ++w) v.at[w] = rounded_to_bf16(v.at[w]);
    store(y + i, v);
  }
};

template <class To, class From>
struct ConvertPass {
  To* y;
  const From* x;
  template <int W>
  __device__ void at(std::int64_t i) const {
    store_floats<W>(y + i, load_floats<W>(x + i));
  }
};

// A bf16 is the upper half of a float: what the lower half and 16 random bits carry goes up.
__device__ inline __nv_bfloat16 round_up_by(float x, unsigned word) {
  const unsigned bits = __float_as_uint(x);
  if ((bits & 0x7F800000u) == 0x7F800000u) return __float2bfloat16_rn(x);
  return __ushort_as_bfloat16(static_cast<unsigned short>((bits + (word & 0xFFFFu)) >> 16));
}

struct StochasticPass {
  __nv_bfloat16* y;
  const float* x;
  const RandomKey* random;
  unsigned parameter;
  std::int64_t first;
  template <int W>
  __device__ void at(std::int64_t i) const {
    RandomKey key = *random;
    key.lane_micro = kRoundingStream;
    const auto v = load<Pack<float, W>>(x + i);
    Pack<__nv_bfloat16, W> rounded;
    uint4 words = {};
#pragma unroll
    for (int w = 0; w < W; ++w) {
      const std::int64_t element = first + i + w;
      if (W == 1 || w % 4 == 0)
        words = random_words(key, parameter, static_cast<std::uint64_t>(element) / 4);
      const unsigned place = W == 1 ? element % 4 : w % 4;
      const unsigned word = place == 0   ? words.x
                            : place == 1 ? words.y
                            : place == 2 ? words.z
                                         : words.w;
      rounded.at[w] = round_up_by(v.at[w], word);
    }
    store(y + i, rounded);
  }
};

__global__ void add_naive(float* y, const float* a, const float* b, std::int64_t n) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a[i] + b[i];
}
// By the conversion of the machine, which gives every NaN the same bits.
__global__ void round_naive(float* y, const float* x, std::int64_t n) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = __bfloat162float(__float2bfloat16_rn(x[i]));
}
__global__ void activate_naive(float* y, const float* x, std::int64_t n, ops::Activation activation,
                               float slope) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = activate(activation, x[i], slope);
}
__global__ void activate_gradient_naive(float* dx, const float* dy, const float* from,
                                        std::int64_t n, ops::Activation activation, float slope) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) dx[i] = activation_gradient(activation, dy[i], from[i], slope);
}

}  // namespace

void add(float* y, const float* a, const float* b, std::int64_t n, cudaStream_t stream) {
  launch_flat_pass<4>(n, AddPass<false>{y, a, b}, "add", stream);
}
void add_reference(float* y, const float* a, const float* b, std::int64_t n, cudaStream_t stream) {
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(n, kFlatThreads));
  add_naive<<<blocks, kFlatThreads, 0, stream>>>(y, a, b, n);
  check_launch("add_reference");
}
void add_relu(float* y, const float* a, const float* b, std::int64_t n, cudaStream_t stream) {
  launch_flat_pass<4>(n, AddPass<true>{y, a, b}, "add_relu", stream);
}

void activate_reference(float* y, const float* x, std::int64_t n, ops::Activation activation,
                        float slope, cudaStream_t stream) {
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(n, kFlatThreads));
  activate_naive<<<blocks, kFlatThreads, 0, stream>>>(y, x, n, activation, slope);
  check_launch("activate_reference");
}
void activate_gradient_reference(float* dx, const float* dy, const float* from, std::int64_t n,
                                 ops::Activation activation, float slope, cudaStream_t stream) {
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(n, kFlatThreads));
  activate_gradient_naive<<<blocks, kFlatThreads, 0, stream>>>(dx, dy, from, n, activation, slope);
  check_launch("activate_gradient_reference");
}

void activate(float* y, const float* x, std::int64_t n, ops::Activation activation, float slope,
              cudaStream_t stream) {
  launch_flat_pass<4>(n, ActivatePass<float>{y, x, activation, slope}, "activate", stream);
}
void activate(__nv_bfloat16* y, const __nv_bfloat16* x, std::int64_t n, ops::Activation activation,
              float slope, cudaStream_t stream) {
  launch_flat_pass<8>(n, ActivatePass<__nv_bfloat16>{y, x, activation, slope}, "activate", stream);
}
void activate_gradient(float* dx, const float* dy, const float* from, std::int64_t n,
                       ops::Activation activation, float slope, cudaStream_t stream) {
  launch_flat_pass<4>(n, ActivateGradientPass<float>{dx, dy, from, activation, slope},
                      "activate_gradient", stream);
}
void activate_gradient(__nv_bfloat16* dx, const __nv_bfloat16* dy, const __nv_bfloat16* from,
                       std::int64_t n, ops::Activation activation, float slope,
                       cudaStream_t stream) {
  launch_flat_pass<8>(n, ActivateGradientPass<__nv_bfloat16>{dx, dy, from, activation, slope},
                      "activate_gradient", stream);
}

void scale(float* x, float factor, std::int64_t n, cudaStream_t stream) {
  launch_flat_pass<4>(n, ScalePass{x, factor}, "scale", stream);
}
void axpy(float* y, const float* x, float factor, std::int64_t n, cudaStream_t stream) {
  launch_flat_pass<4>(n, AxpyPass{y, x, factor}, "axpy", stream);
}
void fill(float* x, float value, std::int64_t n, cudaStream_t stream) {
  launch_flat_pass<4>(n, FillPass{x, value}, "fill", stream);
}

void round_to_bf16(float* y, const float* x, std::int64_t n, cudaStream_t stream) {
  launch_flat_pass<4>(n, RoundPass{y, x}, "round to bf16", stream);
}
void round_to_bf16_reference(float* y, const float* x, std::int64_t n, cudaStream_t stream) {
  if (n == 0) return;
  const auto blocks = static_cast<unsigned>(blocks_for(n, kFlatThreads));
  round_naive<<<blocks, kFlatThreads, 0, stream>>>(y, x, n);
  check_launch("round_to_bf16_reference");
}

void convert(__nv_bfloat16* y, const float* x, std::int64_t n, cudaStream_t stream) {
  launch_flat_pass<4>(n, ConvertPass<__nv_bfloat16, float>{y, x}, "convert to bf16", stream);
}
void convert(float* y, const __nv_bfloat16* x, std::int64_t n, cudaStream_t stream) {
  launch_flat_pass<4>(n, ConvertPass<float, __nv_bfloat16>{y, x}, "convert to fp32", stream);
}
void convert_stochastic(__nv_bfloat16* y, const float* x, std::int64_t n, const RandomKey* random,
                        std::uint32_t parameter, std::int64_t first, cudaStream_t stream) {
  require_argument(first % 4 == 0, "convert_stochastic: first element");
  launch_flat_pass<4>(n, StochasticPass{y, x, random, parameter, first}, "convert_stochastic",
                      stream);
}

}  // namespace lockstep::kernels
