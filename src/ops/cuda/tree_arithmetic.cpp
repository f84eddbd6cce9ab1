#include <algorithm>

#include "kernels/elementwise.h"
#include "kernels/fold.h"
#include "lockstep/core/error.h"
#include "ops/cuda/make.h"

namespace lockstep::ops {
namespace {

static_assert(kernels::kFoldSources == kTreeSources && kernels::kFoldOuts == kTreeOuts);
static_assert(sizeof(kernels::FoldBlock) == sizeof(TreeBlock));

class CudaTreeArithmetic final : public TreeArithmetic {
 public:
  void fold(const Tree& tree, const TreeBlock* blocks, int count, double* values,
            Stream& stream) override {
    LOCKSTEP_CHECK(tree.sources.size() <= kTreeSources && tree.outs.size() <= kTreeOuts &&
                       tree.merges.size() == tree.sources.size(),
                   "a tree of {} sources and {} outs is too wide for one kernel",
                   tree.sources.size(), tree.outs.size());
    kernels::FoldTree arguments{};
    arguments.source_count = static_cast<int>(tree.sources.size());
    arguments.out_count = static_cast<int>(tree.outs.size());
    std::copy(tree.sources.begin(), tree.sources.end(), arguments.sources);
    std::copy(tree.merges.begin(), tree.merges.end(), arguments.merges);
    std::copy(tree.outs.begin(), tree.outs.end(), arguments.outs);
    kernels::fold(arguments, reinterpret_cast<const kernels::FoldBlock*>(blocks), count, values,
                  native(stream));
  }
  void round_to_bf16(float* dst, const float* x, std::int64_t n, Stream& stream) override {
    kernels::round_to_bf16(dst, x, n, native(stream));
  }
  void pack_bf16(std::uint16_t* dst, const float* x, std::int64_t n, Stream& stream) override {
    kernels::convert(reinterpret_cast<__nv_bfloat16*>(dst), x, n, native(stream));
  }

 private:
  static cudaStream_t native(Stream& stream) { return static_cast<cudaStream_t>(stream.native()); }
};

}  // namespace

std::unique_ptr<TreeArithmetic> make_cuda_tree_arithmetic() {
  return std::make_unique<CudaTreeArithmetic>();
}

}  // namespace lockstep::ops
