// Layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019): the loops are in
// row_norm_loops.inl.
#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"
#include "ops/cpu/kernels.h"

namespace lockstep::ops {
namespace {

template <bool layer>
class CpuRowNorm : public Op {
 public:
  CpuRowNorm(std::int64_t rows, std::int64_t channels, float epsilon)
      : rows_(rows), channels_(channels), epsilon_(epsilon) {
    LOCKSTEP_CHECK(rows > 0 && channels > 0, "norm of {} x {}", rows, channels);
  }

  std::string_view kind() const override { return layer ? "layer_norm" : "rms_norm"; }

  void forward(const Args& args) const override {
    RowNormPass pass = shape(args);
    pass.y = args.output;
    layer ? kernels().layer_norm_forward(pass) : kernels().rms_norm_forward(pass);
  }

  void backward(const Args& args) const override {
    RowNormPass pass = shape(args);
    pass.dy = args.d_output;
    pass.dx = args.d_inputs[0];
    pass.d_gain = args.d_parameters[0];
    if (layer) pass.d_bias = args.d_parameters[1];
    pass.workspace = args.workspace;
    layer ? kernels().layer_norm_backward(pass) : kernels().rms_norm_backward(pass);
  }

  std::size_t saved_bytes() const override { return (layer ? 3 : 1) * sizeof(float) * rows_; }
  std::size_t workspace_bytes() const override {
    return (channels_ + 15) / 16 * 16 * (2 * sizeof(double) + 2 * sizeof(float));
  }
  Cost cost() const override {
    const double n = static_cast<double>(rows_ * channels_);
    return {8 * n, 14 * n, 8 * n, 12 * n};
  }

 private:
  RowNormPass shape(const Args& args) const {
    return {.rows = rows_,
            .channels = channels_,
            .epsilon = epsilon_,
            .x = args.inputs[0],
            .gain = args.parameters[0],
            .bias = layer ? args.parameters[1] : nullptr,
            .saved = static_cast<float*>(args.saved)};
  }

  std::int64_t rows_, channels_;
  float epsilon_;
};

}  // namespace

std::unique_ptr<Op> make(Device& device, const LayerNorm& d) {
  LOCKSTEP_CHECK(device.kind() == DeviceKind::kCpu, "layer norm for {}", device.name());
  return std::make_unique<CpuRowNorm<true>>(d.rows, d.channels, d.epsilon);
}

std::unique_ptr<Op> make(Device& device, const RmsNorm& d) {
  LOCKSTEP_CHECK(device.kind() == DeviceKind::kCpu, "RMS norm for {}", device.name());
  return std::make_unique<CpuRowNorm<false>>(d.rows, d.channels, d.epsilon);
}

}  // namespace lockstep::ops
