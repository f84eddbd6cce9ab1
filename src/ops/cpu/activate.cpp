// Activations as ops of their own.
#include "lockstep/ops/op.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/make.h"
#include "ops/cpu/sample_slices.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CpuActivate : public Op {
 public:
  explicit CpuActivate(const Activate& d) : d_(d) { check(d); }

  std::string_view kind() const override { return "activate"; }

  void forward(const Args& args) const override { forward_slice(args, {}); }
  void backward(const Args& args) const override { backward_slice(args, {}); }

  std::int64_t slices() const override { return sample_slices(d_.samples, d_.elements); }
  void forward_slice(const Args& args, Slice slice) const override {
    loops().forward(args.output, args.inputs[0], d_.elements / slice.count, d_.slope);
  }
  void backward_slice(const Args& args, Slice slice) const override {
    if (args.d_inputs[0] == nullptr) return;
    loops().backward(args.d_inputs[0], args.d_output, from_output() ? args.output : args.inputs[0],
                     d_.elements / slice.count, d_.slope);
  }

  bool backward_needs_inputs() const override { return !from_output(); }
  bool backward_needs_output() const override { return from_output(); }
  bool in_place() const override { return from_output(); }
  Cost cost() const override { return cost_of(d_); }

 private:
  const Kernels::ActivationLoops& loops() const {
    return kernels().activation[static_cast<int>(d_.activation)];
  }
  bool from_output() const { return derives_from_output(d_.activation); }

  Activate d_;
};

}  // namespace

std::unique_ptr<Op> make_cpu(const Activate& d) {
  return std::make_unique<CpuActivate>(d);
}

}  // namespace lockstep::ops
