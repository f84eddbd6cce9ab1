// SwiGLU (kernels/swiglu.h).
#include "kernels/swiglu.h"

#include "device/cuda/cuda_device.h"
#include "ops/cuda/make.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CudaSwiGlu final : public Op {
 public:
  explicit CudaSwiGlu(const SwiGlu& d) : d_(d) { check(d); }

  std::string_view kind() const override { return "swiglu"; }
  void forward(const Args& args) const override {
    kernels::swiglu(args.output, args.inputs[0], d_.rows, d_.width, cuda::native(args.stream));
  }
  void backward(const Args& args) const override {
    if (args.d_inputs[0] == nullptr) return;
    kernels::swiglu_gradient(args.d_inputs[0], args.d_output, args.inputs[0], d_.rows, d_.width,
                             cuda::native(args.stream));
  }
  Cost cost() const override { return cost_of(d_); }

 private:
  SwiGlu d_;
};

}  // namespace

std::unique_ptr<Op> make_cuda(Device& /*device*/, const SwiGlu& d) {
  return std::make_unique<CudaSwiGlu>(d);
}

}  // namespace lockstep::ops
