#include <algorithm>

#include "kernels/row_norm.cuh"

namespace lockstep::kernels {
namespace {

// Rows of a row group (a warp, or a block where rows are wide): enough that partial sums are few,
// not so many that blocks are.
std::int64_t group_rows(std::int64_t rows, std::int64_t groups) {
  constexpr std::int64_t kEnoughBlocks = 512, kMostRows = 32;
  return std::clamp(blocks_for(rows, groups * kEnoughBlocks), std::int64_t{1}, kMostRows);
}

// Rows in registers; the sums over rows of dy x^ and dy stay there too and leave as one partial sum
// a block: partial [2][blocks][channels].
template <class T, bool layer, int kRowThreads, int kPacks>
__global__ void __launch_bounds__(kRowBlock<kRowThreads>, 1)
    gradient_kernel(RowNormGradient<T> a, int rows_of_group, float* partial) {
  constexpr int kPer = kPerAccess<T>, kGroups = kRowGroups<kRowThreads>;
  __shared__ float scratch[2][2][kRowThreads / kWarp];
  RowSums<kRowThreads> sum_up{scratch};
  const int thread = threadIdx.x % kRowThreads, group = threadIdx.x / kRowThreads;
  const auto channels = static_cast<int>(a.channels);
  const float each = 1.0f / static_cast<float>(channels);

  Pack<float, kPer> d_gain[kPacks], d_bias[kPacks];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) d_gain[p] = d_bias[p] = {};

  for (int r = 0; r < rows_of_group; ++r) {
    const std::int64_t row =
        (static_cast<std::int64_t>(blockIdx.x) * rows_of_group + r) * kGroups + group;
    if (row >= a.rows) break;
    const std::int64_t begin = row * a.channels;
    const auto scale = RowScale::of<layer>(a.saved, row);
    Pack<float, kPer> hat[kPacks], d[kPacks];
    float sum_g = 0, sum_gx = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int c = (p * kRowThreads + thread) * kPer;
      hat[p] = d[p] = {};
      if (c >= channels) continue;
      hat[p] = load_floats<kPer>(a.x + begin + c);
      d[p] = load_floats<kPer>(a.dy + begin + c);
    }
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int c = (p * kRowThreads + thread) * kPer;
      if (c >= channels) continue;
      const auto gain = load<Pack<float, kPer>>(a.gain + c);
#pragma unroll
      for (int w = 0; w < kPer; ++w) {
        hat[p].at[w] = scale.hat<layer>(hat[p].at[w]);
        const float g = d[p].at[w] * gain.at[w];
        if constexpr (layer) {
          sum_g += g;
          d_bias[p].at[w] += d[p].at[w];
        }
        sum_gx = fmaf(g, hat[p].at[w], sum_gx);
        d_gain[p].at[w] = fmaf(d[p].at[w], hat[p].at[w], d_gain[p].at[w]);
      }
    }
    if (a.dx == nullptr) continue;
    sum_up(sum_g, sum_gx);
    const float by_hat = -sum_gx * each, constant = -sum_g * each;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int c = (p * kRowThreads + thread) * kPer;
      if (c >= channels) continue;
      const auto gain = load<Pack<float, kPer>>(a.gain + c);
      Pack<float, kPer> add;
      if (a.add != nullptr) add = load_floats<kPer>(a.add + begin + c);
#pragma unroll
      for (int w = 0; w < kPer; ++w) {
        const float g = layer ? fmaf(d[p].at[w], gain.at[w], constant) : d[p].at[w] * gain.at[w];
        const float dx = scale.rstd * fmaf(hat[p].at[w], by_hat, g);
        d[p].at[w] = a.add != nullptr ? add.at[w] + dx : dx;
      }
      store_floats<kPer>(a.dx + begin + c, d[p]);
    }
  }

  // The groups' sums in order; the last one writes them.
  float* const to_gain = partial + static_cast<std::int64_t>(blockIdx.x) * channels;
  float* const to_bias = to_gain + static_cast<std::int64_t>(gridDim.x) * channels;
  constexpr int kHeld = kGroups > 1 ? kPacks * kRowThreads : 1;
  __shared__ Pack<float, kPer> held[2][kHeld];
  for (int turn = 0; turn < kGroups; ++turn) {
    if (turn > 0) __syncthreads();
    if (group != turn) continue;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int at = p * kRowThreads + thread;
      if (at * kPer >= channels) continue;
      if (turn > 0) {
#pragma unroll
        for (int w = 0; w < kPer; ++w) {
          d_gain[p].at[w] += held[0][at].at[w];
          if constexpr (layer) d_bias[p].at[w] += held[1][at].at[w];
        }
      }
      if (turn + 1 < kGroups) {
        held[0][at] = d_gain[p];
        if constexpr (layer) held[1][at] = d_bias[p];
      } else {
        store(to_gain + at * kPer, d_gain[p]);
        if constexpr (layer) store(to_bias + at * kPer, d_bias[p]);
      }
    }
  }
}

// dx for any width: a block has a row and reads it twice.
template <class T, bool layer>
__global__ void __launch_bounds__(kWideThreads) gradient_any_width(RowNormGradient<T> a) {
  __shared__ float scratch[2][2][kWideThreads / kWarp];
  RowSums<kWideThreads> sum_up{scratch};
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * a.channels;
  const auto scale = RowScale::of<layer>(a.saved, blockIdx.x);
  float sum_g = 0, sum_gx = 0;
  for (std::int64_t c = threadIdx.x; c < a.channels; c += kWideThreads) {
    const float g = to_float(a.dy[begin + c]) * a.gain[c];
    if constexpr (layer) sum_g += g;
    sum_gx = fmaf(g, scale.hat<layer>(to_float(a.x[begin + c])), sum_gx);
  }
  sum_up(sum_g, sum_gx);
  const float each = 1.0f / static_cast<float>(a.channels);
  const float by_hat = -sum_gx * each, constant = -sum_g * each;
  for (std::int64_t c = threadIdx.x; c < a.channels; c += kWideThreads) {
    const float hat = scale.hat<layer>(to_float(a.x[begin + c]));
    const float d = to_float(a.dy[begin + c]);
    const float g = layer ? fmaf(d, a.gain[c], constant) : d * a.gain[c];
    float dx = scale.rstd * fmaf(hat, by_hat, g);
    if (a.add != nullptr) dx += to_float(a.add[begin + c]);
    a.dx[begin + c] = from_float<T>(dx);
  }
}

// The parameters' sums for any width.
template <class T, bool layer>
struct ParameterPass {
  static constexpr int kAtOnce = 4, kSums = 2;
  RowNormGradient<T> a;

  template <int W>
  struct Column {};
  template <int W>
  struct Fetched {
    Pack<float, W> x, dy;
    RowScale scale;
  };
  template <int W>
  __device__ Column<W> column(std::int64_t) const {
    return {};
  }
  template <int W>
  __device__ Fetched<W> fetch(std::int64_t row, std::int64_t column) const {
    const std::int64_t at = row * a.channels + column;
    return {load_floats<W>(a.x + at), load_floats<W>(a.dy + at), RowScale::of<layer>(a.saved, row)};
  }
  template <int W>
  __device__ void apply(Column<W>, const Fetched<W>& f, std::int64_t, std::int64_t,
                        float (&sums)[2][W]) const {
#pragma unroll
    for (int w = 0; w < W; ++w) {
      sums[0][w] = fmaf(f.dy.at[w], f.scale.hat<layer>(f.x.at[w]), sums[0][w]);
      sums[1][w] += f.dy.at[w];
    }
  }
};

struct WriteParameters {
  float *d_gain, *d_bias;
  __device__ void operator()(std::int64_t column, const double (&sums)[2]) const {
    d_gain[column] = static_cast<float>(sums[0]);
    if (d_bias != nullptr) d_bias[column] = static_cast<float>(sums[1]);
  }
};
struct WriteGain {
  float* d_gain;
  __device__ void operator()(std::int64_t column, const double (&sums)[1]) const {
    d_gain[column] = static_cast<float>(sums[0]);
  }
};

template <bool layer>
__global__ void gradient_naive_dx(RowNormGradient<float> a) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= a.rows) return;
  const auto scale = RowScale::of<layer>(a.saved, row);
  const float *x = a.x + row * a.channels, *dy = a.dy + row * a.channels;
  double sum_g = 0, sum_gx = 0;
  for (std::int64_t c = 0; c < a.channels; ++c) {
    const float g = dy[c] * a.gain[c];
    if (layer) sum_g += g;
    sum_gx += static_cast<double>(g) * scale.hat<layer>(x[c]);
  }
  for (std::int64_t c = 0; c < a.channels; ++c) {
    const double hat = scale.hat<layer>(x[c]), n = static_cast<double>(a.channels);
    const double dx = scale.rstd * (dy[c] * a.gain[c] - sum_g / n - hat * sum_gx / n);
    const std::int64_t i = row * a.channels + c;
    a.dx[i] = static_cast<float>(a.add != nullptr ? a.add[i] + dx : dx);
  }
}

template <bool layer>
__global__ void gradient_naive_parameters(RowNormGradient<float> a) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= a.channels) return;
  double d_gain = 0, d_bias = 0;
  for (std::int64_t row = 0; row < a.rows; ++row) {
    const double dy = a.dy[row * a.channels + c];
    d_gain += dy * RowScale::of<layer>(a.saved, row).template hat<layer>(a.x[row * a.channels + c]);
    d_bias += dy;
  }
  a.d_gain[c] = static_cast<float>(d_gain);
  if (layer) a.d_bias[c] = static_cast<float>(d_bias);
}

template <bool layer, class T>
void any_width(const RowNormGradient<T>& a, const char* name, cudaStream_t stream) {
  const ColumnTiles t = column_tiles(a.rows, a.channels);
  auto* const partial = static_cast<float*>(a.workspace);
  launch_tile_sums(t, ParameterPass<T, layer>{a}, partial, name, stream);  // dx may be dy
  launch_finish_columns<2>(partial, t.chunks, a.channels,
                           WriteParameters{a.d_gain, layer ? a.d_bias : nullptr}, name, stream);
  if (a.dx == nullptr) return;
  gradient_any_width<T, layer><<<static_cast<unsigned>(a.rows), kWideThreads, 0, stream>>>(a);
  check_launch(name);
}

template <bool layer, class T>
void gradient(const RowNormGradient<T>& a, const char* name, cudaStream_t stream) {
  auto* const partial = static_cast<float*>(a.workspace);
  std::int64_t blocks = 0;
  const bool held = with_row_form<kPerAccess<T>>(a.channels, [&](auto form) {
    constexpr int kRowThreads = form.kRowThreads, kGroups = kRowGroups<kRowThreads>;
    const std::int64_t each = group_rows(a.rows, kGroups);
    blocks = blocks_for(a.rows, each * kGroups);
    gradient_kernel<T, layer, kRowThreads, form.kRowPacks>
        <<<static_cast<unsigned>(blocks), kRowBlock<kRowThreads>, 0, stream>>>(
            a, static_cast<int>(each), partial);
  });
  if (!held) return any_width<layer>(a, name, stream);
  check_launch(name);
  if constexpr (layer) {
    launch_finish_columns<2>(partial, blocks, a.channels, WriteParameters{a.d_gain, a.d_bias}, name,
                             stream);
  } else {
    launch_finish_columns<1>(partial, blocks, a.channels, WriteGain{a.d_gain}, name, stream);
  }
}

template <bool layer>
void gradient_reference(const RowNormGradient<float>& a, const char* name, cudaStream_t stream) {
  constexpr int kThreads = 128;
  gradient_naive_parameters<layer>
      <<<static_cast<unsigned>(blocks_for(a.channels, kThreads)), kThreads, 0, stream>>>(a);
  check_launch(name);
  if (a.dx == nullptr) return;
  gradient_naive_dx<layer>
      <<<static_cast<unsigned>(blocks_for(a.rows, kThreads)), kThreads, 0, stream>>>(a);
  check_launch(name);
}

}  // namespace

std::size_t row_norm_workspace_bytes(std::int64_t rows, std::int64_t channels) {
  std::int64_t chunks = column_tiles(rows, channels).chunks;
  const std::int64_t groups = channels <= 1024 ? kRowsOfBlock : 1;
  chunks = std::max(chunks, blocks_for(rows, groups * group_rows(rows, groups)));
  return 2 * sizeof(float) * chunks * channels;
}

void layer_norm_gradient(const RowNormGradient<float>& a, cudaStream_t stream) {
  gradient<true>(a, "layer_norm_gradient", stream);
}
void layer_norm_gradient(const RowNormGradient<__nv_bfloat16>& a, cudaStream_t stream) {
  gradient<true>(a, "layer_norm_gradient", stream);
}
void layer_norm_gradient_reference(const RowNormGradient<float>& a, cudaStream_t stream) {
  gradient_reference<true>(a, "layer_norm_gradient_reference", stream);
}
void rms_norm_gradient(const RowNormGradient<float>& a, cudaStream_t stream) {
  gradient<false>(a, "rms_norm_gradient", stream);
}
void rms_norm_gradient(const RowNormGradient<__nv_bfloat16>& a, cudaStream_t stream) {
  gradient<false>(a, "rms_norm_gradient", stream);
}
void rms_norm_gradient_reference(const RowNormGradient<float>& a, cudaStream_t stream) {
  gradient_reference<false>(a, "rms_norm_gradient_reference", stream);
}

}  // namespace lockstep::kernels
