#include "kernels/activation.cuh"
#include "kernels/bias_activation.h"
#include "kernels/column_tiles.cuh"
#include "kernels/dropout.cuh"
#include "kernels/flat_pass.cuh"

namespace lockstep::kernels {
namespace {

template <int W>
__device__ inline void store_outputs(float* to, __nv_bfloat16* to_bf16, std::int64_t at,
                                     const Pack<float, W>& x) {
  if (to != nullptr) store(to + at, x);
  if (to_bf16 != nullptr) store_floats<W>(to_bf16 + at, x);
}

template <int W>
struct BiasColumn {
  Pack<float, W> bias;
  DropState drop;
};
template <int W>
__device__ inline BiasColumn<W> bias_column(const float* bias, const DropPlan& drop,
                                            std::int64_t column) {
  BiasColumn<W> c{{}, DropState(drop)};
  if (bias != nullptr) c.bias = load<Pack<float, W>>(bias + column);
  return c;
}

template <class Z>
struct ForwardPass {
  static constexpr int kAtOnce = 2;
  BiasActivation<Z> a;
  DropPlan drop;

  template <int W>
  using Column = BiasColumn<W>;
  template <int W>
  struct Fetched {
    Pack<float, W> z, residual;
  };

  template <int W>
  __device__ Column<W> column(std::int64_t column) const {
    return bias_column<W>(a.bias, drop, column);
  }
  template <int W>
  __device__ Fetched<W> fetch(std::int64_t row, std::int64_t column) const {
    const std::int64_t at = row * a.columns + column;
    Fetched<W> x;
    x.z = load_floats<W>(a.z + at);
    if (a.residual != nullptr) x.residual = load<Pack<float, W>>(a.residual + at);
    return x;
  }
  template <int W>
  __device__ void apply(const Column<W>& c, const Fetched<W>& x, std::int64_t row,
                        std::int64_t column) const {
    const std::int64_t at = row * a.columns + column;
    Pack<float, W> y = x.z;
#pragma unroll
    for (int w = 0; w < W; ++w) {
      if (a.bias != nullptr) y.at[w] += c.bias.at[w];
      y.at[w] = activate(a.activation, y.at[w], a.slope);
    }
    if (c.drop.on) drop_elements<W>(y.at, c.drop, drop, at);
    if (a.residual != nullptr) {
#pragma unroll
      for (int w = 0; w < W; ++w) y.at[w] += x.residual.at[w];
    }
    store_outputs<W>(a.y, a.y_bf16, at, y);
  }
};

template <class Z>
struct GradientPass {
  static constexpr int kAtOnce = 2, kSums = 1;
  BiasActivationGradient<Z> a;
  DropPlan drop;

  template <int W>
  using Column = BiasColumn<W>;
  template <int W>
  struct Fetched {
    Pack<float, W> dy, from;
  };

  template <int W>
  __device__ Column<W> column(std::int64_t column) const {
    return bias_column<W>(a.bias, drop, column);
  }
  template <int W>
  __device__ Fetched<W> fetch(std::int64_t row, std::int64_t column) const {
    const std::int64_t at = row * a.columns + column;
    Fetched<W> x;
    x.dy = load<Pack<float, W>>(a.dy + at);
    if (a.activation != ops::Activation::kNone) x.from = load_floats<W>(a.from + at);
    return x;
  }
  template <int W>
  __device__ Pack<float, W> gradient(const Column<W>& c, const Fetched<W>& x,
                                     std::int64_t at) const {
    Pack<float, W> dz = x.dy;
    if (c.drop.on) drop_elements<W>(dz.at, c.drop, drop, at);
    if (a.activation == ops::Activation::kNone) return dz;
#pragma unroll
    for (int w = 0; w < W; ++w) {
      const float from = a.bias != nullptr ? x.from.at[w] + c.bias.at[w] : x.from.at[w];
      dz.at[w] = activation_gradient(a.activation, dz.at[w], from, a.slope);
    }
    return dz;
  }
  template <int W>
  __device__ void apply(const Column<W>& c, const Fetched<W>& x, std::int64_t row,
                        std::int64_t column) const {
    const std::int64_t at = row * a.columns + column;
    store_outputs<W>(a.dz, a.dz_bf16, at, gradient<W>(c, x, at));
  }
  template <int W>
  __device__ void apply(const Column<W>& c, const Fetched<W>& x, std::int64_t row,
                        std::int64_t column, float (&sums)[1][W]) const {
    const std::int64_t at = row * a.columns + column;
    const Pack<float, W> dz = gradient<W>(c, x, at);
    store_outputs<W>(a.dz, a.dz_bf16, at, dz);
#pragma unroll
    for (int w = 0; w < W; ++w) sums[0][w] += dz.at[w];
  }
};

struct WriteSum {
  float* to;
  __device__ void operator()(std::int64_t column, const double (&sum)[1]) const {
    to[column] = static_cast<float>(sum[0]);
  }
};

bool from_output(ops::Activation a) {
  return a == ops::Activation::kTanh || a == ops::Activation::kSigmoid;
}

template <class Z>
void forward(const BiasActivation<Z>& a, cudaStream_t stream) {
  if (a.rows == 0 || a.columns == 0) return;
  const bool aligned = reinterpret_cast<std::uintptr_t>(a.bias) % 16 == 0;
  launch_tile_pass(column_tiles(a.rows, a.columns, aligned), ForwardPass<Z>{a, DropPlan(a.drop)},
                   "bias_activation", stream);
}

template <class Z>
void gradient(const BiasActivationGradient<Z>& a, cudaStream_t stream) {
  require_argument(a.bias == nullptr || !from_output(a.activation),
                   "bias_activation_gradient: a bias where the output is read");
  const ColumnTiles t = column_tiles(a.rows, a.columns);
  const GradientPass<Z> pass{a, DropPlan(a.drop)};
  if (a.d_bias == nullptr) return launch_tile_pass(t, pass, "bias_activation_gradient", stream);
  if (t.chunks == 1) return launch_tile_sums(t, pass, a.d_bias, "bias_activation_gradient", stream);
  auto* const partial = static_cast<float*>(a.workspace);
  launch_tile_sums(t, pass, partial, "bias_activation_gradient", stream);
  launch_finish_columns<1>(partial, t.chunks, a.columns, WriteSum{a.d_bias}, "bias_gradient",
                           stream);
}

template <class Z>
__global__ void forward_naive(BiasActivation<Z> a, DropPlan drop) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= a.rows * a.columns) return;
  const float z = to_float(a.z[i]) + (a.bias != nullptr ? a.bias[i % a.columns] : 0.0f);
  float y[1] = {activate(a.activation, z, a.slope)};
  const DropState state(drop);
  if (state.on) drop_elements<1>(y, state, drop, i);
  if (a.residual != nullptr) y[0] += a.residual[i];
  if (a.y != nullptr) a.y[i] = y[0];
  if (a.y_bf16 != nullptr) a.y_bf16[i] = __float2bfloat16_rn(y[0]);
}

template <class Z>
__global__ void gradient_naive(BiasActivationGradient<Z> a, DropPlan drop) {
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= a.columns) return;
  const DropState state(drop);
  float sum = 0;
  for (std::int64_t row = 0; row < a.rows; ++row) {
    const std::int64_t i = row * a.columns + column;
    float d[1] = {a.dy[i]};
    if (state.on) drop_elements<1>(d, state, drop, i);
    if (a.activation != ops::Activation::kNone) {
      const float from = to_float(a.from[i]) + (a.bias != nullptr ? a.bias[column] : 0.0f);
      d[0] = activation_gradient(a.activation, d[0], from, a.slope);
    }
    if (a.dz != nullptr) a.dz[i] = d[0];
    if (a.dz_bf16 != nullptr) a.dz_bf16[i] = __float2bfloat16_rn(d[0]);
    sum += d[0];
  }
  if (a.d_bias != nullptr) a.d_bias[column] = sum;
}

}  // namespace

void bias_activation(const BiasActivation<float>& a, cudaStream_t stream) { forward(a, stream); }
void bias_activation(const BiasActivation<__nv_bfloat16>& a, cudaStream_t stream) {
  forward(a, stream);
}
void bias_activation_gradient(const BiasActivationGradient<float>& a, cudaStream_t stream) {
  gradient(a, stream);
}
void bias_activation_gradient(const BiasActivationGradient<__nv_bfloat16>& a, cudaStream_t stream) {
  gradient(a, stream);
}

std::size_t bias_workspace_bytes(std::int64_t rows, std::int64_t columns) {
  const ColumnTiles t = column_tiles(rows, columns);
  return t.chunks == 1 ? 0 : column_sums_bytes(t, 1);
}

void bias_activation_reference(const BiasActivation<float>& a, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(blocks_for(a.rows * a.columns, kTileThreads));
  forward_naive<<<blocks, kTileThreads, 0, stream>>>(a, DropPlan(a.drop));
  check_launch("bias_activation_reference");
}
void bias_activation_gradient_reference(const BiasActivationGradient<float>& a,
                                        cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(blocks_for(a.columns, kTileThreads));
  gradient_naive<<<blocks, kTileThreads, 0, stream>>>(a, DropPlan(a.drop));
  check_launch("bias_activation_gradient_reference");
}

}  // namespace lockstep::kernels
