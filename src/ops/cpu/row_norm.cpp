// Layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019): the loops are in
// row_norm_loops.inl.
#include <cstring>

#include "lockstep/ops/op.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/make.h"
#include "ops/cpu/sample_slices.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

template <bool layer>
class CpuRowNorm : public Op {
 public:
  CpuRowNorm(std::int64_t rows, std::int64_t channels, float epsilon, std::int64_t samples)
      : rows_(rows), channels_(channels), samples_(samples), epsilon_(epsilon) {}

  std::string_view kind() const override { return layer ? "layer_norm" : "rms_norm"; }

  void forward(const Args& args) const override { forward_slice(args, {}); }
  void backward(const Args& args) const override {
    backward_begin(args);
    backward_slice(args, {});
    backward_finish(args);
  }

  std::int64_t slices() const override { return sample_slices(samples_, rows_ * channels_); }
  bool accumulates() const override { return true; }

  void forward_slice(const Args& args, Slice slice) const override {
    RowNormPass pass = pass_over(args, slice);
    pass.y = args.output;
    layer ? kernels().layer_norm_forward(pass) : kernels().rms_norm_forward(pass);
  }

  void backward_begin(const Args& args) const override {
    std::memset(args.workspace, 0, workspace_bytes());
  }
  void backward_slice(const Args& args, Slice slice) const override {
    RowNormPass pass = pass_over(args, slice);
    pass.dy = args.d_output;
    pass.dx = args.d_inputs[0];
    pass.accumulate = args.accumulate;
    pass.first_row = pass.rows * slice.index;
    pass.sums = sums(args);
    layer ? kernels().layer_norm_backward(pass) : kernels().rms_norm_backward(pass);
  }
  void backward_finish(const Args& args) const override {
    const RowNormSums s = sums(args);
    for (std::int64_t c = 0; c < channels_; ++c) {
      args.d_parameters[0][c] = static_cast<float>(s.total_gain[c] + s.gain[c]);
      if (layer) args.d_parameters[1][c] = static_cast<float>(s.total_bias[c] + s.bias[c]);
    }
  }

  std::size_t saved_bytes() const override { return kSaved * sizeof(float) * rows_; }
  std::size_t workspace_bytes() const override {
    return padded() * (2 * sizeof(double) + 2 * sizeof(float));
  }
  Cost cost() const override { return cost_of(LayerNorm{.rows = rows_, .channels = channels_}); }

 private:
  static constexpr std::int64_t kSaved = layer ? 3 : 1;  // floats a row

  std::int64_t padded() const { return (channels_ + 15) / 16 * 16; }

  RowNormSums sums(const Args& args) const {
    auto* const totals = static_cast<double*>(args.workspace);
    auto* const band = reinterpret_cast<float*>(totals + 2 * padded());
    return {totals, totals + padded(), band, band + padded()};
  }

  // What both directions share. The activations are the slice's, what is saved is everybody's.
  RowNormPass pass_over(const Args& args, Slice slice) const {
    const std::int64_t rows = rows_ / slice.count;
    return {.rows = rows,
            .channels = channels_,
            .epsilon = epsilon_,
            .x = args.inputs[0],
            .gain = args.parameters[0],
            .bias = layer ? args.parameters[1] : nullptr,
            .saved = static_cast<float*>(args.saved) + kSaved * rows * slice.index};
  }

  std::int64_t rows_, channels_, samples_;
  float epsilon_;
};

}  // namespace

std::unique_ptr<Op> make_cpu(const LayerNorm& d) {
  check(d);
  return std::make_unique<CpuRowNorm<true>>(d.rows, d.channels, d.epsilon, d.samples);
}

std::unique_ptr<Op> make_cpu(const RmsNorm& d) {
  check(d);
  return std::make_unique<CpuRowNorm<false>>(d.rows, d.channels, d.epsilon, d.samples);
}

}  // namespace lockstep::ops
