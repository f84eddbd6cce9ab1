// Batch norm in its plainest form: a thread has a channel, sums are in double.
#include "kernels/batch_norm.h"
#include "kernels/launch.h"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 128;

__device__ inline std::int64_t own_channel() {
  return static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

__global__ void statistics_naive(BatchNormStatistics a) {
  const std::int64_t c = own_channel();
  if (c >= a.channels) return;
  const auto n = static_cast<double>(a.rows);
  double sum = 0, squares = 0;
  for (std::int64_t i = c; i < a.rows * a.channels; i += a.channels) sum += a.x[i];
  const double mean = sum / n;
  for (std::int64_t i = c; i < a.rows * a.channels; i += a.channels)
    squares += (a.x[i] - mean) * (a.x[i] - mean);
  a.mean[c] = static_cast<float>(mean);
  a.rest[c] = static_cast<float>(mean - a.mean[c]);
  a.rstd[c] = static_cast<float>(1 / sqrt(squares / n + a.epsilon));
  if (a.lane_mean != nullptr) a.lane_mean[c] = a.mean[c];
  if (a.lane_variance != nullptr) a.lane_variance[c] = static_cast<float>(squares / (n - 1));
}

struct ChannelScale {
  double mean, rstd, gain, bias;
  __device__ ChannelScale(const BatchNormScale& s, std::int64_t c)
      : mean(s.mean[c]),
        rstd(s.rstd != nullptr ? s.rstd[c]
                               : 1 / sqrt(static_cast<double>(s.variance[c]) + s.epsilon)),
        gain(s.gain[c]),
        bias(s.bias[c]) {
    if (s.rest != nullptr) mean += s.rest[c];
  }
  __device__ double hat(float x) const { return (x - mean) * rstd; }
  __device__ double value(float x) const { return hat(x) * gain + bias; }
};

__global__ void forward_naive(BatchNormForward a) {
  const std::int64_t c = own_channel();
  if (c >= a.channels) return;
  const ChannelScale scale(a.scale, c);
  for (std::int64_t i = c; i < a.rows * a.channels; i += a.channels) {
    double y = scale.value(a.x[i]);
    if (a.residual != nullptr) y += a.residual[i];
    a.y[i] = static_cast<float>(a.relu && y <= 0 ? 0 : y);
  }
}

__global__ void gradient_naive(BatchNormGradient a) {
  const std::int64_t c = own_channel();
  if (c >= a.channels) return;
  const ChannelScale scale(a.scale, c);
  const auto dz = [&](std::int64_t i) {
    const double y = a.output != nullptr ? a.output[i] : scale.value(a.x[i]);
    return a.relu && y <= 0 ? 0.0 : a.dy[i];
  };
  double d_gain = 0, d_bias = 0;
  for (std::int64_t i = c; i < a.rows * a.channels; i += a.channels)
    d_gain += dz(i) * scale.hat(a.x[i]), d_bias += dz(i);
  a.d_gain[c] = static_cast<float>(d_gain);
  a.d_bias[c] = static_cast<float>(d_bias);
  const auto n = static_cast<double>(a.rows);
  for (std::int64_t i = c; i < a.rows * a.channels; i += a.channels) {
    const double d = dz(i), mean = d_bias / n + scale.hat(a.x[i]) * d_gain / n;
    if (a.d_residual != nullptr) a.d_residual[i] = static_cast<float>(d);
    if (a.dx != nullptr) a.dx[i] = static_cast<float>(scale.gain * scale.rstd * (d - mean));
  }
}

unsigned blocks(std::int64_t channels) {
  return static_cast<unsigned>(blocks_for(channels, kThreads));
}

}  // namespace

void batch_norm_statistics_reference(const BatchNormStatistics& a, cudaStream_t stream) {
  statistics_naive<<<blocks(a.channels), kThreads, 0, stream>>>(a);
  check_launch("batch_norm_statistics_reference");
}
void batch_norm_forward_reference(const BatchNormForward& a, cudaStream_t stream) {
  forward_naive<<<blocks(a.channels), kThreads, 0, stream>>>(a);
  check_launch("batch_norm_forward_reference");
}
void batch_norm_gradient_reference(const BatchNormGradient& a, cudaStream_t stream) {
  gradient_naive<<<blocks(a.channels), kThreads, 0, stream>>>(a);
  check_launch("batch_norm_gradient_reference");
}

}  // namespace lockstep::kernels
