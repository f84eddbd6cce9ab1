// Layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019) over the rows of [rows,
// channels], any width; matrices and vectors on 16-byte boundaries. A row of up to 8192 channels is
// read once and held in registers.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace lockstep::kernels {

// y = x^ gain + bias, x^ = (x - mean) rstd; RMS norm: y = x rstd gain. Moves 8 bytes an element in
// fp32, 4 in bf16, and about 8 flops; a residual adds 8 (4) bytes.
template <class T>
struct RowNorm {
  std::int64_t rows = 0, channels = 0;
  float epsilon = 1e-5f;
  const T* x = nullptr;
  const T* residual = nullptr;  // or null; x + residual is normalised
  T* sum = nullptr;             // x + residual, written where there is a residual; may be either
  const float* gain = nullptr;  // [channels]
  const float* bias = nullptr;  // [channels]; not read by RMS norm
  T* y = nullptr;               // may be x
  // Kept for backward: layer norm [rows][3]: mean, rstd, and what fp32 cut off the mean, as part of
  // x^; RMS norm [rows]: rstd.
  float* saved = nullptr;
};
void layer_norm(const RowNorm<float>& a, cudaStream_t stream);
void layer_norm(const RowNorm<__nv_bfloat16>& a, cudaStream_t stream);
void layer_norm_reference(const RowNorm<float>& a, cudaStream_t stream);
void rms_norm(const RowNorm<float>& a, cudaStream_t stream);
void rms_norm(const RowNorm<__nv_bfloat16>& a, cudaStream_t stream);
void rms_norm_reference(const RowNorm<float>& a, cudaStream_t stream);

// dx = rstd (g - mean(g) - x^ mean(g x^)) [+ add], g = dy gain; d_gain = sum over rows of dy x^,
// d_bias = sum of dy. RMS norm lacks mean(g) and d_bias. One pass up to 8192 channels, a multiple
// of 4 (8 in bf16): 12 bytes an element in fp32, and about 14 flops; two passes elsewhere. The
// sums' order is that of the shape: rows of a block in fp32, then blocks in double.
template <class T>
struct RowNormGradient {
  std::int64_t rows = 0, channels = 0;
  const T* x = nullptr;  // what was normalised: the sum, where there was a residual
  const T* dy = nullptr;
  const float* gain = nullptr;
  const float* saved = nullptr;
  const T* add = nullptr;  // gradient from the residual's other branch, or null; may be dx
  T* dx = nullptr;         // or null: not wanted; may be dy
  float *d_gain = nullptr, *d_bias = nullptr;
  void* workspace = nullptr;  // row_norm_workspace_bytes()
};
std::size_t row_norm_workspace_bytes(std::int64_t rows, std::int64_t channels);
void layer_norm_gradient(const RowNormGradient<float>& a, cudaStream_t stream);
void layer_norm_gradient(const RowNormGradient<__nv_bfloat16>& a, cudaStream_t stream);
void layer_norm_gradient_reference(const RowNormGradient<float>& a, cudaStream_t stream);
void rms_norm_gradient(const RowNormGradient<float>& a, cudaStream_t stream);
void rms_norm_gradient(const RowNormGradient<__nv_bfloat16>& a, cudaStream_t stream);
void rms_norm_gradient_reference(const RowNormGradient<float>& a, cudaStream_t stream);

}  // namespace lockstep::kernels
