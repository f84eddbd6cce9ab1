// Max and average pooling by own loops (pool_loops.inl).
#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"
#include "ops/cpu/dense_kernels.h"
#include "ops/cpu/make.h"

namespace lockstep::ops {
namespace {

PoolGeometry geometry_of(const Pool& p) {
  const Shape out = output_shape(p);
  const int rank = static_cast<int>(p.kernel.size());
  PoolGeometry g;
  g.samples = p.input[0];
  g.channels = p.input[-1];
  g.leaky = p.activation == Activation::kLeakyRelu;
  g.slope = p.slope;
  for (int i = 0; i < rank; ++i) {
    const int d = 3 - rank + i;
    g.in[d] = p.input[i + 1];
    g.out[d] = out[i + 1];
    g.kernel[d] = p.kernel[i];
    g.stride[d] = p.stride[i];
    g.padding[d] = p.padding[i];
    g.window *= p.kernel[i];
  }
  return g;
}

class PoolOp : public Op {
 public:
  explicit PoolOp(const Pool& p) : p_(p), g_(geometry_of(p)), out_(output_shape(p).elements()) {
    LOCKSTEP_CHECK(p.activation == Activation::kNone || (g_.leaky && max()));
    if (g_.leaky && !(p.slope >= 0)) {
      throw UserError("leaky_relu has slope {}; it must be 0 or more", p.slope);
    }
  }

  std::string_view kind() const override { return max() ? "max_pool" : "average_pool"; }

  void forward(const Args& args) const override {
    if (max()) {
      void* winners = args.mode == Mode::kTrain ? args.saved : nullptr;
      dense_kernels().max_pool(g_, args.inputs[0], args.output, winners);
    } else {
      dense_kernels().average_pool(g_, args.inputs[0], args.output);
    }
  }

  void backward(const Args& args) const override {
    if (args.d_inputs[0] == nullptr) return;
    if (max()) {
      dense_kernels().max_pool_backward(g_, args.d_output, args.output, args.saved,
                                        args.d_inputs[0]);
    } else {
      dense_kernels().average_pool_backward(g_, args.d_output, args.d_inputs[0]);
    }
  }

  std::size_t saved_bytes() const override { return max() ? winner_bytes() * out_ : 0; }
  bool backward_needs_inputs() const override { return false; }
  bool backward_needs_output() const override { return g_.leaky; }

  // One comparison or addition per place of a window.
  Cost cost() const override {
    Cost cost;
    const double x = p_.input.elements(), y = out_;
    cost.forward_flops = y * g_.window;
    cost.backward_flops = y * g_.window;
    cost.forward_bytes = sizeof(float) * (x + y) + saved_bytes();
    cost.backward_bytes = cost.forward_bytes;
    return cost;
  }

 private:
  bool max() const { return p_.kind == PoolKind::kMax; }
  std::size_t winner_bytes() const { return g_.window <= 256 ? 1 : 4; }

  Pool p_;
  PoolGeometry g_;
  std::int64_t out_;  // elements
};

}  // namespace

std::unique_ptr<Op> make_cpu(const Pool& p) { return std::make_unique<PoolOp>(p); }

}  // namespace lockstep::ops
