// Learned positions: a table added to every sample. 12 bytes an element forward (8 in place), the
// same backward.
#include <algorithm>
#include <cstring>

#include "lockstep/ops/op.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/make.h"
#include "ops/cpu/sample_slices.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CpuPositions : public Op {
 public:
  explicit CpuPositions(const Positions& d) : d_(d), elements_(d.tokens * d.width) { check(d); }

  std::string_view kind() const override { return "positions"; }

  void forward(const Args& args) const override { forward_slice(args, {}); }

  void backward(const Args& args) const override {
    backward_slice(args, {});
    backward_finish(args);
  }

  std::int64_t slices() const override { return sample_slices(d_.samples, d_.samples * elements_); }

  void forward_slice(const Args& args, Slice slice) const override {
    check_position(d_, args.position);
    const float* const table = args.parameters[0] + args.position * d_.width;
    for (std::int64_t n = 0; n < d_.samples / slice.count; ++n) {
      const std::int64_t at = n * elements_;
      kernels().add(args.output + at, args.inputs[0] + at, table, elements_);
    }
  }

  // The workspace holds the sum over the samples so far, in order.
  void backward_slice(const Args& args, Slice slice) const override {
    const std::int64_t samples = d_.samples / slice.count;
    auto* const sum = static_cast<float*>(args.workspace);
    for (std::int64_t n = 0; n < samples; ++n) {
      const float* const dy = args.d_output + n * elements_;
      if (slice.index == 0 && n == 0) {
        std::copy_n(dy, elements_, sum);
      } else {
        kernels().add(sum, sum, dy, elements_);
      }
    }
    float* const dx = args.d_inputs[0];
    if (dx != nullptr && dx != args.d_output) std::copy_n(args.d_output, samples * elements_, dx);
  }

  void backward_finish(const Args& args) const override {
    float* const d_table = args.d_parameters[0];
    std::copy_n(static_cast<const float*>(args.workspace), elements_, d_table);
    std::fill(d_table + elements_, d_table + d_.context * d_.width, 0.0f);
  }

  std::size_t workspace_bytes() const override { return sizeof(float) * elements_; }
  bool backward_needs_inputs() const override { return false; }
  bool in_place() const override { return true; }
  Cost cost() const override { return cost_of(d_); }

 private:
  Positions d_;
  std::int64_t elements_;  // of a sample
};

}  // namespace

std::unique_ptr<Op> make_cpu(const Positions& d) {
  return std::make_unique<CpuPositions>(d);
}

}  // namespace lockstep::ops
