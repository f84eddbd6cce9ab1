#include "kernels/activation.cuh"
#include "kernels/batch_norm.h"
#include "kernels/column_tiles.cuh"
#include "kernels/flat_pass.cuh"

namespace lockstep::kernels {
namespace {

// Count, mean and squared deviations of a set; sets join by Chan, Golub & LeVeque 1983.
struct Moments {
  double count, mean, squares;
  __device__ void join(const Moments& other) {
    if (other.count == 0) return;
    const double delta = other.mean - mean, total = count + other.count;
    mean += delta * (other.count / total);
    squares += other.squares + delta * delta * (count * other.count / total);
    count = total;
  }
};

// A thread's rows of W columns, in fp32 about the first of them: what is summed is as small as the
// deviations, whatever the mean.
template <int W>
struct ThreadMoments {
  float count = 0;
  Pack<float, W> shift, mean, squares;

  // rows of `step` apart, R at once.
  template <int R>
  __device__ void add(const float* x, std::int64_t stride) {
    Pack<float, W> d[R];
#pragma unroll
    for (int r = 0; r < R; ++r) d[r] = load<Pack<float, W>>(x + r * stride);
    if (count == 0) shift = d[0], mean = squares = {};
    const float total = count + R, weight = R / total, cross = count * weight;
#pragma unroll
    for (int w = 0; w < W; ++w) {
      float sum = 0;
#pragma unroll
      for (int r = 0; r < R; ++r) d[r].at[w] -= shift.at[w], sum += d[r].at[w];
      const float centre = sum * (1.0f / R), delta = centre - mean.at[w];
      float inside = 0;
#pragma unroll
      for (int r = 0; r < R; ++r) {
        const float e = d[r].at[w] - centre;
        inside = fmaf(e, e, inside);
      }
      mean.at[w] = fmaf(delta, weight, mean.at[w]);
      squares.at[w] += fmaf(delta * delta, cross, inside);
    }
    count = total;
  }
};

// partial [2][chunks][columns]: mean and squared deviations of each chunk.
template <int W>
__global__ void __launch_bounds__(kTileThreads, kTileBlocks)
    statistics_kernel(ColumnTiles t, const float* x, double* partial) {
  constexpr int kAtOnce = 4;
  __shared__ Moments scratch[W][kTileThreads];
  const TilePlace p(t);
  ThreadMoments<W> mine;
  const std::int64_t stride = p.step * t.columns;
  std::int64_t row = p.row;
  for (; row + (kAtOnce - 1) * p.step < p.end; row += kAtOnce * p.step)
    mine.template add<kAtOnce>(x + row * t.columns + p.column, stride);
  for (; row < p.end; row += p.step) mine.template add<1>(x + row * t.columns + p.column, stride);
#pragma unroll
  for (int w = 0; w < W; ++w) {
    scratch[w][threadIdx.x] = {};
    if (mine.count > 0)
      scratch[w][threadIdx.x] = {
          mine.count, static_cast<double>(mine.shift.at[w]) + mine.mean.at[w], mine.squares.at[w]};
  }
  const int lanes = 1 << t.lanes_log2, thread = static_cast<int>(threadIdx.x);
  for (int half = kTileThreads / 2; half >= lanes; half /= 2) {
    __syncthreads();
    if (thread < half) {
#pragma unroll
      for (int w = 0; w < W; ++w) scratch[w][thread].join(scratch[w][thread + half]);
    }
  }
  if (thread >= lanes || p.column >= t.columns) return;
  double* const to = partial + p.chunk * t.columns + p.column;
#pragma unroll
  for (int w = 0; w < W; ++w) {
    to[w] = scratch[w][thread].mean;
    to[t.chunks * t.columns + w] = scratch[w][thread].squares;
  }
}

// Joins the chunks of a channel: 16 strands, then the strands in order.
__global__ void __launch_bounds__(kWarp* kStrands)
    join_chunks(ColumnTiles t, const double* partial, BatchNormStatistics a) {
  __shared__ Moments scratch[kStrands][kWarp];
  const int lane = threadIdx.x % kWarp, strand = threadIdx.x / kWarp;
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kWarp + lane;
  Moments all{};
  for (std::int64_t chunk = strand; c < t.columns && chunk < t.chunks; chunk += kStrands) {
    const std::int64_t left = t.rows - chunk * t.chunk_rows, at = chunk * t.columns + c;
    all.join({static_cast<double>(left < t.chunk_rows ? left : t.chunk_rows), partial[at],
              partial[t.chunks * t.columns + at]});
  }
  scratch[strand][lane] = all;
  __syncthreads();
  if (strand != 0 || c >= t.columns) return;
  for (int s = 1; s < kStrands; ++s) all.join(scratch[s][lane]);
  a.mean[c] = static_cast<float>(all.mean);
  a.rest[c] = static_cast<float>(all.mean - a.mean[c]);
  a.rstd[c] = static_cast<float>(1 / sqrt(all.squares / all.count + a.epsilon));
  if (a.lane_mean != nullptr) a.lane_mean[c] = a.mean[c];
  if (a.lane_variance != nullptr)
    a.lane_variance[c] = static_cast<float>(all.squares / (all.count - 1));
}

// y = (x - mean) scale + shift; the same in backward, where relu's mask is found again.
template <int W>
struct Affine {
  Pack<float, W> mean, scale, shift;

  __device__ Affine(const BatchNormScale& s, std::int64_t c) {
    mean = load<Pack<float, W>>(s.mean + c);
    const auto gain = load<Pack<float, W>>(s.gain + c), bias = load<Pack<float, W>>(s.bias + c);
    const auto from = load<Pack<float, W>>((s.rstd != nullptr ? s.rstd : s.variance) + c);
    Pack<float, W> rest{};
    if (s.rest != nullptr) rest = load<Pack<float, W>>(s.rest + c);
#pragma unroll
    for (int w = 0; w < W; ++w) {
      const float rstd = s.rstd != nullptr ? from.at[w] : 1.0f / sqrtf(from.at[w] + s.epsilon);
      scale.at[w] = gain.at[w] * rstd;
      shift.at[w] = fmaf(-rest.at[w], scale.at[w], bias.at[w]);
    }
  }
  __device__ float operator()(float centred, int w) const {
    return fmaf(centred, scale.at[w], shift.at[w]);
  }
};

struct ForwardPass {
  static constexpr int kAtOnce = 4;
  BatchNormForward a;

  template <int W>
  using Column = Affine<W>;
  template <int W>
  struct Fetched {
    Pack<float, W> x, residual;
  };
  template <int W>
  __device__ Affine<W> column(std::int64_t column) const {
    return Affine<W>(a.scale, column);
  }
  template <int W>
  __device__ Fetched<W> fetch(std::int64_t row, std::int64_t column) const {
    const std::int64_t at = row * a.channels + column;
    Fetched<W> f;
    f.x = load<Pack<float, W>>(a.x + at);
    if (a.residual != nullptr) f.residual = load<Pack<float, W>>(a.residual + at);
    return f;
  }
  template <int W>
  __device__ void apply(const Affine<W>& affine, const Fetched<W>& f, std::int64_t row,
                        std::int64_t column) const {
    Pack<float, W> y;
#pragma unroll
    for (int w = 0; w < W; ++w) {
      y.at[w] = affine(f.x.at[w] - affine.mean.at[w], w);
      if (a.residual != nullptr) y.at[w] += f.residual.at[w];
      if (a.relu) y.at[w] = relu(y.at[w]);
    }
    store(a.y + row * a.channels + column, y);
  }
};

// x, the gradient from behind and the output where the mask is read.
template <int W>
struct GradientFetched {
  Pack<float, W> x, dy, output;
};
template <int W>
__device__ inline GradientFetched<W> fetch_gradient(const BatchNormGradient& a, const float* dy,
                                                    bool masked, std::int64_t at) {
  GradientFetched<W> f;
  f.x = load<Pack<float, W>>(a.x + at);
  f.dy = load<Pack<float, W>>(dy + at);
  if (masked && a.output != nullptr) f.output = load<Pack<float, W>>(a.output + at);
  return f;
}
// dy where the output is positive or NaN.
template <int W>
__device__ inline float masked(const BatchNormGradient& a, const GradientFetched<W>& f,
                               const Affine<W>& affine, float centred, int w) {
  const float z = a.output != nullptr ? f.output.at[w] : affine(centred, w);
  return z <= 0.0f ? 0.0f : f.dy.at[w];
}

struct SumsPass {
  static constexpr int kAtOnce = 2, kSums = 2;
  BatchNormGradient a;

  template <int W>
  using Column = Affine<W>;
  template <int W>
  using Fetched = GradientFetched<W>;
  template <int W>
  __device__ Affine<W> column(std::int64_t column) const {
    return Affine<W>(a.scale, column);
  }
  template <int W>
  __device__ Fetched<W> fetch(std::int64_t row, std::int64_t column) const {
    return fetch_gradient<W>(a, a.dy, a.relu, row * a.channels + column);
  }
  template <int W>
  __device__ void apply(const Affine<W>& affine, const Fetched<W>& f, std::int64_t row,
                        std::int64_t column, float (&sums)[2][W]) const {
    Pack<float, W> dz;
#pragma unroll
    for (int w = 0; w < W; ++w) {
      const float centred = f.x.at[w] - affine.mean.at[w];
      dz.at[w] = a.relu ? masked<W>(a, f, affine, centred, w) : f.dy.at[w];
      sums[0][w] += dz.at[w];
      sums[1][w] = fmaf(dz.at[w], centred, sums[1][w]);
    }
    if (a.d_residual != nullptr) store(a.d_residual + row * a.channels + column, dz);
  }
};

// dx = by_dz dz + by_x (x - mean) + constant; constants [3][channels].
struct WriteConstants {
  BatchNormGradient a;
  float* constants;
  __device__ void operator()(std::int64_t c, const double (&sums)[2]) const {
    const double rstd = a.scale.rstd[c], rest = a.scale.rest[c];
    const auto n = static_cast<double>(a.rows);
    const double d_bias = sums[0], d_gain = rstd * (sums[1] - rest * d_bias);
    const double slope = a.scale.gain[c] * rstd, by_x = -slope * rstd * d_gain / n;
    a.d_gain[c] = static_cast<float>(d_gain);
    a.d_bias[c] = static_cast<float>(d_bias);
    constants[c] = static_cast<float>(slope);
    constants[a.channels + c] = static_cast<float>(by_x);
    constants[2 * a.channels + c] = static_cast<float>(-slope * d_bias / n - by_x * rest);
  }
};

struct InputPass {
  static constexpr int kAtOnce = 2;
  BatchNormGradient a;
  const float* dz;  // d_residual, or dy with the mask to come
  bool masks;
  const float* constants;

  template <int W>
  struct Column {
    Affine<W> affine;
    Pack<float, W> by_dz, by_x, constant;
  };
  template <int W>
  using Fetched = GradientFetched<W>;
  template <int W>
  __device__ Column<W> column(std::int64_t column) const {
    return {Affine<W>(a.scale, column), load<Pack<float, W>>(constants + column),
            load<Pack<float, W>>(constants + a.channels + column),
            load<Pack<float, W>>(constants + 2 * a.channels + column)};
  }
  template <int W>
  __device__ Fetched<W> fetch(std::int64_t row, std::int64_t column) const {
    return fetch_gradient<W>(a, dz, masks, row * a.channels + column);
  }
  template <int W>
  __device__ void apply(const Column<W>& c, const Fetched<W>& f, std::int64_t row,
                        std::int64_t column) const {
    Pack<float, W> dx;
#pragma unroll
    for (int w = 0; w < W; ++w) {
      const float centred = f.x.at[w] - c.affine.mean.at[w];
      const float d = masks ? masked<W>(a, f, c.affine, centred, w) : f.dy.at[w];
      dx.at[w] = fmaf(c.by_dz.at[w], d, fmaf(c.by_x.at[w], centred, c.constant.at[w]));
    }
    store(a.dx + row * a.channels + column, dx);
  }
};

std::size_t partial_bytes(const ColumnTiles& t) {
  return 2 * sizeof(double) * t.chunks * t.columns;  // of statistics; the gradient needs half
}

}  // namespace

std::size_t batch_norm_workspace_bytes(std::int64_t rows, std::int64_t channels) {
  return partial_bytes(column_tiles(rows, channels)) + 3 * sizeof(float) * channels;
}

void batch_norm_statistics(const BatchNormStatistics& a, cudaStream_t stream) {
  const ColumnTiles t = column_tiles(a.rows, a.channels);
  auto* const partial = static_cast<double*>(a.workspace);
  if (t.width == 4) {
    statistics_kernel<4><<<t.blocks(), kTileThreads, 0, stream>>>(t, a.x, partial);
  } else {
    statistics_kernel<1><<<t.blocks(), kTileThreads, 0, stream>>>(t, a.x, partial);
  }
  check_launch("batch_norm_statistics");
  const auto blocks = static_cast<unsigned>(blocks_for(a.channels, kWarp));
  join_chunks<<<blocks, kWarp * kStrands, 0, stream>>>(t, partial, a);
  check_launch("batch_norm_statistics");
}

void batch_norm_forward(const BatchNormForward& a, cudaStream_t stream) {
  launch_tile_pass(column_tiles(a.rows, a.channels), ForwardPass{a}, "batch_norm_forward", stream);
}

void batch_norm_gradient(const BatchNormGradient& a, cudaStream_t stream) {
  const ColumnTiles t = column_tiles(a.rows, a.channels);
  auto* const partial = static_cast<float*>(a.workspace);
  float* const constants = partial + partial_bytes(t) / sizeof(float);
  launch_tile_sums(t, SumsPass{a}, partial, "batch_norm_gradient", stream);
  launch_finish_columns<2>(partial, t.chunks, a.channels, WriteConstants{a, constants},
                           "batch_norm_gradient", stream);
  if (a.dx == nullptr) return;
  const bool kept = a.d_residual != nullptr;
  launch_tile_pass(t, InputPass{a, kept ? a.d_residual : a.dy, a.relu && !kept, constants},
                   "batch_norm_gradient", stream);
}

}  // namespace lockstep::kernels
