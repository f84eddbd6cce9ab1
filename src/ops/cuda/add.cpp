// The sum of two activations, with an optional relu behind it (kernels/elementwise.h).
#include "device/cuda/cuda_call.h"
#include "device/cuda/cuda_device.h"
#include "kernels/elementwise.h"
#include "ops/cuda/make.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CudaAdd final : public Op {
 public:
  explicit CudaAdd(const Add& d) : d_(d), relu_(d.activation == Activation::kRelu) { check(d); }

  std::string_view kind() const override { return "add"; }
  void forward(const Args& args) const override {
    const auto sum = relu_ ? kernels::add_relu : kernels::add;
    sum(args.output, args.inputs[0], args.inputs[1], d_.elements, cuda::native(args.stream));
  }
  // The second gradient comes first: d_inputs[0] may lie in the place of d_output.
  void backward(const Args& args) const override {
    const cudaStream_t stream = cuda::native(args.stream);
    for (int i : {1, 0}) {
      float* const dx = args.d_inputs[i];
      if (dx == nullptr) continue;
      if (relu_) {
        kernels::activate_gradient(dx, args.d_output, args.output, d_.elements, Activation::kRelu,
                                   0, stream);
      } else if (dx != args.d_output) {
        cuda::check(cudaMemcpyAsync(dx, args.d_output, sizeof(float) * d_.elements,
                                    cudaMemcpyDeviceToDevice, stream),
                    "cudaMemcpyAsync");
      }
    }
  }
  bool backward_needs_inputs() const override { return false; }
  bool backward_needs_output() const override { return relu_; }
  bool in_place() const override { return true; }
  Cost cost() const override { return cost_of(d_); }

 private:
  Add d_;
  bool relu_;
};

}  // namespace

std::unique_ptr<Op> make_cuda(Device& /*device*/, const Add& d) {
  return std::make_unique<CudaAdd>(d);
}

}  // namespace lockstep::ops
