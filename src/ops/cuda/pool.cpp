// Max and average pooling by own kernels (kernels/pool.h).
#include "kernels/pool.h"

#include <limits>

#include "device/cuda/cuda_device.h"
#include "lockstep/core/error.h"
#include "ops/cost.h"
#include "ops/cuda/make.h"
#include "ops/pool_geometry.h"

namespace lockstep::ops {
namespace {

class CudaPool final : public Op {
 public:
  explicit CudaPool(const Pool& p)
      : p_(p), shape_(geometry_of<kernels::PoolShape>(p)), out_(output_shape(p).elements()) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    if (p.input.elements() / p.input[-1] > kMost || out_ / p.input[-1] > kMost)
      throw UserError("a pool over {} has more than 2^31 positions; use a smaller microbatch",
                      p.input.text());
  }

  std::string_view kind() const override { return max() ? "max_pool" : "average_pool"; }

  void forward(const Args& args) const override {
    const cudaStream_t stream = cuda::native(args.stream);
    if (max()) {
      void* const winners = args.mode == Mode::kTrain ? args.saved : nullptr;
      kernels::max_pool(shape_, args.inputs[0], args.output, winners, stream);
    } else {
      kernels::average_pool(shape_, args.inputs[0], args.output, stream);
    }
  }

  void backward(const Args& args) const override {
    if (args.d_inputs[0] == nullptr) return;
    const cudaStream_t stream = cuda::native(args.stream);
    if (max()) {
      kernels::max_pool_backward<float>(shape_, args.d_output, args.output, args.saved,
                                        args.d_inputs[0], stream);
    } else {
      kernels::average_pool_backward(shape_, args.d_output, args.d_inputs[0], stream);
    }
  }

  std::size_t saved_bytes() const override { return max() ? winner_bytes(p_) * out_ : 0; }
  bool backward_needs_inputs() const override { return false; }
  bool backward_needs_output() const override { return shape_.leaky; }
  Cost cost() const override { return cost_of(p_); }

 private:
  bool max() const { return p_.kind == PoolKind::kMax; }

  Pool p_;
  kernels::PoolShape shape_;
  std::int64_t out_;  // elements
};

}  // namespace

std::unique_ptr<Op> make_cuda(Device& /*device*/, const Pool& p) {
  return std::make_unique<CudaPool>(p);
}

}  // namespace lockstep::ops
