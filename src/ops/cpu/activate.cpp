// Activations as ops of their own.
#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/make.h"
#include "ops/cpu/sample_slices.h"

namespace lockstep::ops {
namespace {

class CpuActivate : public Op {
 public:
  explicit CpuActivate(const Activate& d) : d_(d) {
    LOCKSTEP_CHECK(d.elements > 0 && d.activation != Activation::kNone, "activation {} of {}",
                   name_of(d.activation), d.elements);
    LOCKSTEP_CHECK(d.samples > 0 && d.elements % d.samples == 0, "{} elements in {} samples",
                   d.elements, d.samples);
    if (!(d.slope >= 0)) {
      throw UserError("leaky_relu has slope {}; it must be 0 or more", d.slope);
    }
  }

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
  Cost cost() const override {
    const double n = static_cast<double>(d_.elements);
    const double flops =
        d_.activation == Activation::kRelu || d_.activation == Activation::kLeakyRelu
            ? 1
            : 25;  // about: an exponential and a division
    return {flops * n, flops * n, 8 * n, 12 * n};
  }

 private:
  const Kernels::ActivationLoops& loops() const {
    return kernels().activation[static_cast<int>(d_.activation)];
  }
  // Whether the derivative is a function of the output alone.
  bool from_output() const {
    switch (d_.activation) {
      case Activation::kRelu:
      case Activation::kLeakyRelu:
      case Activation::kTanh:
      case Activation::kSigmoid:
        return true;
      default:
        return false;
    }
  }

  Activate d_;
};

}  // namespace

std::unique_ptr<Op> make_cpu(const Activate& d) {
  return std::make_unique<CpuActivate>(d);
}

}  // namespace lockstep::ops
