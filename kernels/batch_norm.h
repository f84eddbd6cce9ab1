// Batch norm of one lane (Ioffe & Szegedy 2015) over the rows of [rows, channels], any shape, on
// 16-byte boundaries. A channel's mean is kept in two floats and its squares are summed about a
// number of the channel, so that nothing is lost where |mean| >> deviation. The order of all sums
// is the shape's.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace lockstep::kernels {

// What normalises a channel: y = (x - mean - rest) rstd gain + bias.
struct BatchNormScale {
  const float *mean = nullptr, *rest = nullptr;  // [channels]; rest may be null: 0
  const float* rstd = nullptr;      // [channels], or null: 1 / sqrt(variance + epsilon) of
  const float* variance = nullptr;  // [channels], which is then read
  float epsilon = 1e-5f;
  const float *gain = nullptr, *bias = nullptr;  // [channels]
};

struct BatchNormStatistics {
  std::int64_t rows = 0, channels = 0;
  float epsilon = 1e-5f;
  const float* x = nullptr;
  float *mean = nullptr, *rest = nullptr, *rstd = nullptr;  // [channels], written
  // The lane's leaves of the fold, or null: the mean, and the variance over rows - 1.
  float *lane_mean = nullptr, *lane_variance = nullptr;
  void* workspace = nullptr;  // batch_norm_workspace_bytes()
};
// 4 bytes and about 6 flops an element. rows >= 2.
void batch_norm_statistics(const BatchNormStatistics& a, cudaStream_t stream);

// y = act((x - mean - rest) rstd gain + bias [+ residual]), act none or relu; y may be x or
// residual. 8 bytes and 3 flops an element, 4 more bytes for the residual.
struct BatchNormForward {
  std::int64_t rows = 0, channels = 0;
  const float *x = nullptr, *residual = nullptr;
  float* y = nullptr;
  bool relu = false;
  BatchNormScale scale;
};
void batch_norm_forward(const BatchNormForward& a, cudaStream_t stream);

// dx = rstd gain (dz - mean(dz) - x^ mean(dz x^)), dz = dy where the output is positive or NaN
// (relu), d_gain = sum dz x^, d_bias = sum dz. Two passes over dy and x: 20 bytes and about 12
// flops an element, 4 more where the mask is read from the output or dz is kept.
struct BatchNormGradient {
  std::int64_t rows = 0, channels = 0;
  const float *x = nullptr, *dy = nullptr;
  bool relu = false;
  const float* output = nullptr;  // where the mask is read; null: from x, without a residual
  float* d_residual = nullptr;    // dz, or null; may be dy
  float* dx = nullptr;            // or null; not dy, unless d_residual is null
  float *d_gain = nullptr, *d_bias = nullptr;
  BatchNormScale scale;       // rest and rstd given
  void* workspace = nullptr;  // batch_norm_workspace_bytes()
};
void batch_norm_gradient(const BatchNormGradient& a, cudaStream_t stream);

std::size_t batch_norm_workspace_bytes(std::int64_t rows, std::int64_t channels);

// The same by one thread a channel.
void batch_norm_statistics_reference(const BatchNormStatistics& a, cudaStream_t stream);
void batch_norm_forward_reference(const BatchNormForward& a, cudaStream_t stream);
void batch_norm_gradient_reference(const BatchNormGradient& a, cudaStream_t stream);

}  // namespace lockstep::kernels
