// Embedding by own kernels (kernels/embedding.h).
#include "kernels/embedding.h"

#include "device/cuda/cuda_device.h"
#include "lockstep/core/error.h"
#include "ops/cost.h"
#include "ops/cuda/make.h"
#include "ops/cuda/parts.h"

namespace lockstep::ops {
namespace {

class CudaEmbedding final : public Op {
 public:
  explicit CudaEmbedding(const Embedding& d) : shape_{d.rows, d.vocabulary, d.width}, d_(d) {
    LOCKSTEP_CHECK(d.rows > 0 && d.vocabulary > 0 && d.width > 0, "embedding of {} x {} for {}",
                   d.vocabulary, d.width, d.rows);
    constexpr std::int64_t kMost = (std::int64_t{1} << 31) - 1;
    if (d.rows > kMost || d.vocabulary > kMost)
      throw UserError(
          "an embedding of {} tokens out of {} is too large for a cuda device; use a "
          "smaller microbatch",
          d.rows, d.vocabulary);
    sorted_ = workspace_.add(kernels::embedding_workspace(shape_));
  }

  std::string_view kind() const override { return "embedding"; }

  void forward(const Args& args) const override {
    kernels::embedding(shape_, ids(args), args.parameters[0], args.output,
                       cuda::native(args.stream));
  }

  void backward(const Args& args) const override {
    kernels::embedding_backward(shape_, ids(args), args.d_output, args.carried,
                                args.d_parameters[0], Parts::at<void>(args.workspace, sorted_),
                                cuda::native(args.stream));
  }

  std::size_t workspace_bytes() const override { return workspace_.bytes(); }
  Cost cost() const override { return cost_of(d_); }

 private:
  static const std::int32_t* ids(const Args& args) {
    return reinterpret_cast<const std::int32_t*>(args.inputs[0]);
  }

  kernels::EmbeddingShape shape_;
  Embedding d_;
  Parts workspace_;
  Parts::Part sorted_;
};

}  // namespace

std::unique_ptr<Op> make_cuda(Device& /*device*/, const Embedding& d) {
  return std::make_unique<CudaEmbedding>(d);
}

}  // namespace lockstep::ops
