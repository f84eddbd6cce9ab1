// Learned positions: the table is a bias of a sample's tokens and channels, its gradient the sum
// over samples (kernels/bias_activation.h).
#include "device/cuda/cuda_call.h"
#include "device/cuda/cuda_device.h"
#include "kernels/bias_activation.h"
#include "ops/cuda/make.h"
#include "ops/cuda/parts.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CudaPositions final : public Op {
 public:
  explicit CudaPositions(const Positions& d) : d_(d), elements_(d.tokens * d.width) {
    check(d);
    sums_ = workspace_.add(kernels::bias_workspace_bytes(d.samples, elements_));
  }

  std::string_view kind() const override { return "positions"; }

  void forward(const Args& args) const override {
    check_position(d_, args.position);
    kernels::BiasActivation<float> a{.rows = d_.samples, .columns = elements_};
    a.z = args.inputs[0], a.y = args.output;
    a.bias = args.parameters[0] + args.position * d_.width;
    kernels::bias_activation(a, cuda::native(args.stream));
  }

  void backward(const Args& args) const override {
    const cudaStream_t stream = cuda::native(args.stream);
    float* const d_table = args.d_parameters[0];
    kernels::BiasActivationGradient<float> a{.rows = d_.samples, .columns = elements_};
    a.dy = args.d_output;
    a.dz = args.d_inputs[0] == args.d_output ? nullptr : args.d_inputs[0];
    a.d_bias = d_table, a.workspace = Parts::at<void>(args.workspace, sums_);
    kernels::bias_activation_gradient(a, stream);
    const std::int64_t unseen = d_.context * d_.width - elements_;
    if (unseen == 0) return;
    cuda::check(cudaMemsetAsync(d_table + elements_, 0, sizeof(float) * unseen, stream),
                "cudaMemsetAsync");
  }

  std::size_t workspace_bytes() const override { return workspace_.bytes(); }
  bool backward_needs_inputs() const override { return false; }
  bool in_place() const override { return true; }
  Cost cost() const override { return cost_of(d_); }

 private:
  Positions d_;
  std::int64_t elements_;  // of a sample
  Parts workspace_;
  Parts::Part sums_;
};

}  // namespace

std::unique_ptr<Op> make_cuda(Device& /*device*/, const Positions& d) {
  return std::make_unique<CudaPositions>(d);
}

}  // namespace lockstep::ops
