// Batch norm of one lane (kernels/batch_norm.h).
#include "kernels/batch_norm.h"

#include "device/cuda/cuda_device.h"
#include "ops/cuda/make.h"
#include "ops/cuda/parts.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CudaBatchNorm final : public Op {
 public:
  explicit CudaBatchNorm(const BatchNorm& d) : d_(d), relu_(d.activation == Activation::kRelu) {
    check(d);
    for (Parts::Part* part : {&mean_, &rest_, &rstd_})
      *part = saved_.add(sizeof(float) * d.channels);
    sums_ = workspace_.add(kernels::batch_norm_workspace_bytes(d.rows, d.channels));
  }

  std::string_view kind() const override { return "batch_norm"; }

  void forward(const Args& args) const override {
    const cudaStream_t stream = cuda::native(args.stream);
    kernels::BatchNormForward a{.rows = d_.rows, .channels = d_.channels};
    a.x = args.inputs[0], a.residual = d_.residual ? args.inputs[1] : nullptr;
    a.y = args.output, a.relu = relu_;
    if (args.mode == Mode::kTrain) {
      check_has_variance(d_);
      kernels::batch_norm_statistics(statistics(args), stream);
      a.scale = scale(args);
    } else {
      a.scale.mean = args.statistics[0], a.scale.variance = args.statistics[1];
      a.scale.epsilon = d_.epsilon;
      a.scale.gain = args.parameters[0], a.scale.bias = args.parameters[1];
    }
    kernels::batch_norm_forward(a, stream);
  }

  void backward(const Args& args) const override {
    kernels::BatchNormGradient a{.rows = d_.rows, .channels = d_.channels};
    a.x = args.inputs[0], a.dy = args.d_output, a.relu = relu_;
    a.output = backward_needs_output() ? args.output : nullptr;
    if (d_.residual && (relu_ || args.d_inputs[1] != args.d_output))
      a.d_residual = args.d_inputs[1];
    a.dx = args.d_inputs[0];
    a.d_gain = args.d_parameters[0], a.d_bias = args.d_parameters[1];
    a.scale = scale(args);
    a.workspace = Parts::at<void>(args.workspace, sums_);
    kernels::batch_norm_gradient(a, cuda::native(args.stream));
  }

  std::size_t saved_bytes() const override { return saved_.bytes(); }
  std::size_t workspace_bytes() const override { return workspace_.bytes(); }
  bool backward_needs_output() const override { return relu_ && d_.residual; }
  // dy behind the mask replaces dy.
  int in_place_gradient() const override { return d_.residual ? 1 : -1; }
  Cost cost() const override { return cost_of(d_); }

 private:
  kernels::BatchNormStatistics statistics(const Args& args) const {
    const bool leaves = args.lane_statistics != nullptr;
    return {.rows = d_.rows,
            .channels = d_.channels,
            .epsilon = d_.epsilon,
            .x = args.inputs[0],
            .mean = Parts::at<float>(args.saved, mean_),
            .rest = Parts::at<float>(args.saved, rest_),
            .rstd = Parts::at<float>(args.saved, rstd_),
            .lane_mean = leaves ? args.lane_statistics[0] : nullptr,
            .lane_variance = leaves ? args.lane_statistics[1] : nullptr,
            .workspace = Parts::at<void>(args.workspace, sums_)};
  }
  kernels::BatchNormScale scale(const Args& args) const {
    return {.mean = Parts::at<float>(args.saved, mean_),
            .rest = Parts::at<float>(args.saved, rest_),
            .rstd = Parts::at<float>(args.saved, rstd_),
            .variance = nullptr,
            .gain = args.parameters[0],
            .bias = args.parameters[1]};
  }

  BatchNorm d_;
  bool relu_;
  Parts saved_, workspace_;
  Parts::Part mean_, rest_, rstd_, sums_;
};

}  // namespace

std::unique_ptr<Op> make_cuda(Device& /*device*/, const BatchNorm& d) {
  return std::make_unique<CudaBatchNorm>(d);
}

}  // namespace lockstep::ops
