// Activations as ops of their own (kernels/elementwise.h).
#include "device/cuda/cuda_device.h"
#include "kernels/elementwise.h"
#include "ops/cuda/make.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CudaActivate final : public Op {
 public:
  explicit CudaActivate(const Activate& d) : d_(d) { check(d); }

  std::string_view kind() const override { return "activate"; }
  void forward(const Args& args) const override {
    kernels::activate(args.output, args.inputs[0], d_.elements, d_.activation, d_.slope,
                      cuda::native(args.stream));
  }
  void backward(const Args& args) const override {
    if (args.d_inputs[0] == nullptr) return;
    kernels::activate_gradient(args.d_inputs[0], args.d_output,
                               in_place() ? args.output : args.inputs[0], d_.elements,
                               d_.activation, d_.slope, cuda::native(args.stream));
  }
  bool backward_needs_inputs() const override { return !in_place(); }
  bool backward_needs_output() const override { return in_place(); }
  bool in_place() const override { return derives_from_output(d_.activation); }
  Cost cost() const override { return cost_of(d_); }

 private:
  Activate d_;
};

}  // namespace

std::unique_ptr<Op> make_cuda(Device& /*device*/, const Activate& d) {
  return std::make_unique<CudaActivate>(d);
}

}  // namespace lockstep::ops
