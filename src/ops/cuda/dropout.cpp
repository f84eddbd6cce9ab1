// Inverted dropout (kernels/dropout.h): the masks of the cpu, drawn again in backward.
#include "kernels/dropout.h"

#include "device/cuda/cuda_call.h"
#include "device/cuda/cuda_device.h"
#include "ops/cuda/make.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CudaDropout final : public Op {
 public:
  explicit CudaDropout(const Dropout& d) : d_(d) { check(d); }

  std::string_view kind() const override { return "dropout"; }
  void forward(const Args& args) const override {
    const float* const x = args.inputs[0];
    if (args.mode == Mode::kTrain) return multiply(args, args.output, x);
    if (args.output == x) return;
    cuda::check(cudaMemcpyAsync(args.output, x, sizeof(float) * d_.elements,
                                cudaMemcpyDeviceToDevice, cuda::native(args.stream)),
                "cudaMemcpyAsync");
  }
  void backward(const Args& args) const override {
    if (args.d_inputs[0] != nullptr) multiply(args, args.d_inputs[0], args.d_output);
  }
  bool backward_needs_inputs() const override { return false; }
  bool in_place() const override { return true; }
  Cost cost() const override { return cost_of(d_); }

 private:
  void multiply(const Args& args, float* y, const float* x) const {
    kernels::dropout(y, x, d_.elements, {args.device_random, args.random.op, d_.rate},
                     cuda::native(args.stream));
  }

  Dropout d_;
};

}  // namespace

std::unique_ptr<Op> make_cuda(Device& /*device*/, const Dropout& d) {
  return std::make_unique<CudaDropout>(d);
}

}  // namespace lockstep::ops
