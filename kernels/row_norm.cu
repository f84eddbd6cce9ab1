#include "kernels/row_norm.cuh"

namespace lockstep::kernels {
namespace {

// A row in registers: kRowThreads threads with kPacks packs of 16 bytes each.
template <class T, bool layer, int kRowThreads, int kPacks>
__global__ void __launch_bounds__(kRowBlock<kRowThreads>, 1) row_norm_kernel(RowNorm<T> a) {
  constexpr int kPer = kPerAccess<T>, kGroups = kRowGroups<kRowThreads>;
  __shared__ float scratch[2][2][kRowThreads / kWarp];
  RowSums<kRowThreads> sum_up{scratch};
  const int thread = threadIdx.x % kRowThreads;
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * kGroups + threadIdx.x / kRowThreads;
  if (row >= a.rows) return;  // a whole warp: where a block has one row, there is no such row
  const std::int64_t begin = row * a.channels;
  const auto channels = static_cast<int>(a.channels);

  Pack<float, kPer> v[kPacks];
  float sum = 0, squares = 0;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int c = (p * kRowThreads + thread) * kPer;
    v[p] = {};
    if (c >= channels) continue;
    v[p] = load_floats<kPer>(a.x + begin + c);
    if (a.residual != nullptr) {
      const auto residual = load_floats<kPer>(a.residual + begin + c);
      // What is stored is what is normalised, so that backward sees the same numbers.
#pragma unroll
      for (int w = 0; w < kPer; ++w)
        v[p].at[w] = to_float(from_float<T>(v[p].at[w] + residual.at[w]));
      store_floats<kPer>(a.sum + begin + c, v[p]);
    }
#pragma unroll
    for (int w = 0; w < kPer; ++w) {
      sum += v[p].at[w];
      if constexpr (!layer) squares = fmaf(v[p].at[w], v[p].at[w], squares);
    }
  }
  sum_up(sum, squares);
  float mean = 0, rest = 0;
  if constexpr (layer) {
    mean = sum / static_cast<float>(channels);
    squares = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if ((p * kRowThreads + thread) * kPer >= channels) continue;
#pragma unroll
      for (int w = 0; w < kPer; ++w) {
        const float d = v[p].at[w] - mean;
        rest += d;
        squares = fmaf(d, d, squares);
      }
    }
    sum_up(rest, squares);
  }
  const RowScale scale =
      row_scale<layer>(mean, rest, squares, static_cast<float>(channels), a.epsilon);
  if (thread == 0 && a.saved != nullptr) scale.keep<layer>(a.saved, row);
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const int c = (p * kRowThreads + thread) * kPer;
    if (c >= channels) continue;
    const auto gain = load<Pack<float, kPer>>(a.gain + c);
    Pack<float, kPer> bias;
    if constexpr (layer) bias = load<Pack<float, kPer>>(a.bias + c);
#pragma unroll
    for (int w = 0; w < kPer; ++w) {
      const float hat = scale.hat<layer>(v[p].at[w]);
      if constexpr (layer)
        v[p].at[w] = fmaf(hat, gain.at[w], bias.at[w]);
      else
        v[p].at[w] = hat * gain.at[w];
    }
    store_floats<kPer>(a.y + begin + c, v[p]);
  }
}

// Any width: a block has a row and reads it up to three times, from the cache where it fits.
template <class T, bool layer>
__global__ void __launch_bounds__(kWideThreads) row_norm_any_width(RowNorm<T> a) {
  __shared__ float scratch[2][2][kWideThreads / kWarp];
  RowSums<kWideThreads> sum_up{scratch};
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * a.channels;
  const T* x = a.x;
  float sum = 0, squares = 0;
  for (std::int64_t c = threadIdx.x; c < a.channels; c += kWideThreads) {
    float v = to_float(x[begin + c]);
    if (a.residual != nullptr) {
      const T stored = from_float<T>(v + to_float(a.residual[begin + c]));
      a.sum[begin + c] = stored;  // read below by this thread alone
      v = to_float(stored);
    }
    sum += v;
    if constexpr (!layer) squares = fmaf(v, v, squares);
  }
  if (a.residual != nullptr) x = a.sum;
  sum_up(sum, squares);
  const auto channels = static_cast<float>(a.channels);
  float mean = 0, rest = 0;
  if constexpr (layer) {
    mean = sum / channels;
    squares = 0;
    for (std::int64_t c = threadIdx.x; c < a.channels; c += kWideThreads) {
      const float d = to_float(x[begin + c]) - mean;
      rest += d;
      squares = fmaf(d, d, squares);
    }
    sum_up(rest, squares);
  }
  const RowScale scale = row_scale<layer>(mean, rest, squares, channels, a.epsilon);
  if (threadIdx.x == 0 && a.saved != nullptr) scale.keep<layer>(a.saved, blockIdx.x);
  for (std::int64_t c = threadIdx.x; c < a.channels; c += kWideThreads) {
    const float hat = scale.hat<layer>(to_float(x[begin + c]));
    float y;
    if constexpr (layer)
      y = fmaf(hat, a.gain[c], a.bias[c]);
    else
      y = hat * a.gain[c];
    a.y[begin + c] = from_float<T>(y);
  }
}

template <bool layer>
__global__ void row_norm_naive(RowNorm<float> a) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= a.rows) return;
  const auto n = static_cast<double>(a.channels);
  const std::int64_t begin = row * a.channels, end = begin + a.channels;
  double sum = 0, squares = 0;
  const float* x = a.x;
  if (a.residual != nullptr) {
    for (std::int64_t i = begin; i < end; ++i) a.sum[i] = x[i] + a.residual[i];
    x = a.sum;
  }
  for (std::int64_t i = begin; layer && i < end; ++i) sum += x[i];
  const double mean = sum / n;
  for (std::int64_t i = begin; i < end; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const double rstd = 1 / sqrt(squares / n + a.epsilon);
  const auto cut = static_cast<float>(mean);
  const RowScale scale{cut, static_cast<float>(rstd), static_cast<float>((cut - mean) * rstd)};
  if (a.saved != nullptr) scale.keep<layer>(a.saved, row);
  for (std::int64_t i = begin; i < end; ++i) {
    const double y = (x[i] - mean) * rstd * a.gain[i - begin];
    a.y[i] = static_cast<float>(layer ? y + a.bias[i - begin] : y);
  }
}

template <bool layer, class T>
void norm(const RowNorm<T>& a, const char* name, cudaStream_t stream) {
  if (a.rows == 0) return;
  const bool held = with_row_form<kPerAccess<T>>(a.channels, [&](auto form) {
    constexpr int kRowThreads = form.kRowThreads;
    const auto blocks = static_cast<unsigned>(blocks_for(a.rows, kRowGroups<kRowThreads>));
    row_norm_kernel<T, layer, kRowThreads, form.kRowPacks>
        <<<blocks, kRowBlock<kRowThreads>, 0, stream>>>(a);
  });
  if (!held)
    row_norm_any_width<T, layer><<<static_cast<unsigned>(a.rows), kWideThreads, 0, stream>>>(a);
  check_launch(name);
}

template <bool layer>
void norm_reference(const RowNorm<float>& a, const char* name, cudaStream_t stream) {
  constexpr int kThreads = 128;
  row_norm_naive<layer>
      <<<static_cast<unsigned>(blocks_for(a.rows, kThreads)), kThreads, 0, stream>>>(a);
  check_launch(name);
}

}  // namespace

void layer_norm(const RowNorm<float>& a, cudaStream_t stream) {
  norm<true>(a, "layer_norm", stream);
}
void layer_norm(const RowNorm<__nv_bfloat16>& a, cudaStream_t stream) {
  norm<true>(a, "layer_norm", stream);
}
void layer_norm_reference(const RowNorm<float>& a, cudaStream_t stream) {
  norm_reference<true>(a, "layer_norm_reference", stream);
}
void rms_norm(const RowNorm<float>& a, cudaStream_t stream) { norm<false>(a, "rms_norm", stream); }
void rms_norm(const RowNorm<__nv_bfloat16>& a, cudaStream_t stream) {
  norm<false>(a, "rms_norm", stream);
}
void rms_norm_reference(const RowNorm<float>& a, cudaStream_t stream) {
  norm_reference<false>(a, "rms_norm_reference", stream);
}

}  // namespace lockstep::kernels
