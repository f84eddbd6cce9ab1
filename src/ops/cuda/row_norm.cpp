// Layer norm and RMS norm (kernels/row_norm.h).
#include "kernels/row_norm.h"

#include "device/cuda/cuda_device.h"
#include "ops/cuda/make.h"
#include "ops/cuda/parts.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

template <class Description>
class CudaRowNorm final : public Op {
 public:
  explicit CudaRowNorm(const Description& d) : d_(d) {
    check(d);
    sums_ = workspace_.add(kernels::row_norm_workspace_bytes(d.rows, d.channels));
  }

  std::string_view kind() const override { return kLayer ? "layer_norm" : "rms_norm"; }
  bool accumulates() const override { return true; }

  void forward(const Args& args) const override {
    kernels::RowNorm<float> a{.rows = d_.rows, .channels = d_.channels, .epsilon = d_.epsilon};
    a.x = args.inputs[0], a.y = args.output;
    a.gain = args.parameters[0], a.bias = kLayer ? args.parameters[1] : nullptr;
    a.saved = args.mode == Mode::kTrain ? static_cast<float*>(args.saved) : nullptr;
    const cudaStream_t stream = cuda::native(args.stream);
    kLayer ? kernels::layer_norm(a, stream) : kernels::rms_norm(a, stream);
  }

  void backward(const Args& args) const override {
    kernels::RowNormGradient<float> a{.rows = d_.rows, .channels = d_.channels};
    a.x = args.inputs[0], a.dy = args.d_output;
    a.gain = args.parameters[0], a.saved = static_cast<const float*>(args.saved);
    a.dx = args.d_inputs[0], a.add = args.accumulate ? a.dx : nullptr;
    a.d_gain = args.d_parameters[0], a.d_bias = kLayer ? args.d_parameters[1] : nullptr;
    a.workspace = Parts::at<void>(args.workspace, sums_);
    const cudaStream_t stream = cuda::native(args.stream);
    kLayer ? kernels::layer_norm_gradient(a, stream) : kernels::rms_norm_gradient(a, stream);
  }

  std::size_t saved_bytes() const override { return (kLayer ? 3 : 1) * sizeof(float) * d_.rows; }
  std::size_t workspace_bytes() const override { return workspace_.bytes(); }
  Cost cost() const override { return cost_of(d_); }

 private:
  static constexpr bool kLayer = std::is_same_v<Description, LayerNorm>;

  Description d_;
  Parts workspace_;
  Parts::Part sums_;
};

}  // namespace

std::unique_ptr<Op> make_cuda(Device& /*device*/, const LayerNorm& d) {
  return std::make_unique<CudaRowNorm<LayerNorm>>(d);
}
std::unique_ptr<Op> make_cuda(Device& /*device*/, const RmsNorm& d) {
  return std::make_unique<CudaRowNorm<RmsNorm>>(d);
}

}  // namespace lockstep::ops
