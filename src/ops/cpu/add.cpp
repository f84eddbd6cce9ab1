// The sum of two activations, with an optional relu behind it.
#include <cstring>

#include "lockstep/ops/op.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/make.h"
#include "ops/cpu/sample_slices.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CpuAdd : public Op {
 public:
  explicit CpuAdd(const Add& d) : d_(d), relu_(d.activation == Activation::kRelu) { check(d); }

  std::string_view kind() const override { return "add"; }

  void forward(const Args& args) const override { forward_slice(args, {}); }
  void backward(const Args& args) const override { backward_slice(args, {}); }

  std::int64_t slices() const override { return sample_slices(d_.samples, d_.elements); }
  void forward_slice(const Args& args, Slice slice) const override {
    const auto sum = relu_ ? kernels().add_relu : kernels().add;
    sum(args.output, args.inputs[0], args.inputs[1], d_.elements / slice.count);
  }

  // The second gradient comes first: d_inputs[0] may lie in the place of d_output.
  void backward_slice(const Args& args, Slice slice) const override {
    const std::int64_t n = d_.elements / slice.count;
    for (int i : {1, 0}) {
      float* const dx = args.d_inputs[i];
      if (dx == nullptr) continue;
      if (relu_) {
        kernels().activation[static_cast<int>(Activation::kRelu)].backward(dx, args.d_output,
                                                                           args.output, n, 0);
      } else if (dx != args.d_output) {
        std::memcpy(dx, args.d_output, n * sizeof(float));
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

std::unique_ptr<Op> make_cpu(const Add& d) {
  return std::make_unique<CpuAdd>(d);
}

}  // namespace lockstep::ops
