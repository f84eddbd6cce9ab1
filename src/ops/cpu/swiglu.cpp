// SwiGLU (Shazeer 2020): the loops are in swiglu_loops.inl.
#include "lockstep/ops/op.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/make.h"
#include "ops/cpu/sample_slices.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CpuSwiGlu : public Op {
 public:
  explicit CpuSwiGlu(const SwiGlu& d) : d_(d) { check(d); }

  std::string_view kind() const override { return "swiglu"; }

  void forward(const Args& args) const override { forward_slice(args, {}); }
  void backward(const Args& args) const override { backward_slice(args, {}); }

  std::int64_t slices() const override {
    return sample_slices(d_.samples, 3 * d_.rows * d_.width);
  }
  void forward_slice(const Args& args, Slice slice) const override {
    kernels().swiglu_forward(args.output, args.inputs[0], d_.rows / slice.count, d_.width);
  }
  void backward_slice(const Args& args, Slice slice) const override {
    if (args.d_inputs[0] == nullptr) return;
    kernels().swiglu_backward(args.d_inputs[0], args.d_output, args.inputs[0],
                              d_.rows / slice.count, d_.width);
  }

  Cost cost() const override { return cost_of(d_); }

 private:
  SwiGlu d_;
};

}  // namespace

std::unique_ptr<Op> make_cpu(const SwiGlu& d) {
  return std::make_unique<CpuSwiGlu>(d);
}

}  // namespace lockstep::ops
