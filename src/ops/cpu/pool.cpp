// Max and average pooling by own loops (pool_loops.inl).
#include "ops/cost.h"
#include "ops/cpu/dense_kernels.h"
#include "ops/cpu/make.h"
#include "ops/pool_geometry.h"

namespace lockstep::ops {
namespace {

PoolGeometry geometry(const Pool& p) {
  PoolGeometry g = geometry_of<PoolGeometry>(p);
  for (const std::int64_t k : p.kernel) g.window *= k;
  return g;
}

class PoolOp : public Op {
 public:
  explicit PoolOp(const Pool& p) : p_(p), g_(geometry(p)), out_(output_shape(p).elements()) {}

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

  std::size_t saved_bytes() const override { return max() ? winner_bytes(p_) * out_ : 0; }
  bool backward_needs_inputs() const override { return false; }
  bool backward_needs_output() const override { return g_.leaky; }

  Cost cost() const override { return cost_of(p_); }

 private:
  bool max() const { return p_.kind == PoolKind::kMax; }

  Pool p_;
  PoolGeometry g_;
  std::int64_t out_;  // elements
};

}  // namespace

std::unique_ptr<Op> make_cpu(const Pool& p) { return std::make_unique<PoolOp>(p); }

}  // namespace lockstep::ops
