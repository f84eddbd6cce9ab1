// Batch norm of one lane (Ioffe & Szegedy 2015): statistics and constants in double here, the
// passes over memory in batch_norm_loops.inl.
#include <algorithm>
#include <cmath>

#include "lockstep/ops/op.h"
#include "ops/cpu/batch_norm_layout.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/make.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

// What forward keeps of a channel: the mean in two floats, because x - mean loses what the first
// cuts off where |mean| >> deviation.
struct Channel {
  float mean, mean_rest, rstd;
};

// y = (x - mean) scale + shift; the same in backward, where relu's mask is found again.
float scale_of(const Channel& c, float gain) {
  return static_cast<float>(static_cast<double>(gain) * c.rstd);
}
float shift_of(const Channel& c, float gain, float bias) {
  return static_cast<float>(bias - static_cast<double>(c.mean_rest) * gain * c.rstd);
}

class CpuBatchNorm : public Op {
 public:
  explicit CpuBatchNorm(const BatchNorm& d)
      : d_(d), layout_{d.rows, d.channels}, relu_(d.activation == Activation::kRelu) {
    check(d);
  }

  std::string_view kind() const override { return "batch_norm"; }

  void forward(const Args& args) const override {
    forward_gather(args, {});
    forward_begin(args);
    forward_slice(args, {});
  }

  void backward(const Args& args) const override {
    backward_gather(args, {});
    backward_begin(args);
    backward_slice(args, {});
    backward_finish(args);
  }

  // Slices end where blocks of the sums end, and are not so small that calls would count.
  std::int64_t slices() const override {
    constexpr std::int64_t kSmallestElements = 1 << 14;
    if (layout_.rest_rows > 0 || layout_.virtual_rows % kBatchNormBlockRows != 0) return 1;
    std::int64_t slices = layout_.virtual_rows / kBatchNormBlockRows;
    while (slices % 2 == 0 && d_.rows * d_.channels < kSmallestElements * slices) slices /= 2;
    return slices;
  }
  bool gathers() const override { return true; }

  void forward_gather(const Args& args, Slice slice) const override {
    if (args.mode == Mode::kEvaluate) return;
    const Workspace w = workspace(args);
    const std::int64_t rows = layout_.virtual_rows / slice.count;
    if (rows == 0) return;
    kernels().column_statistics(args.inputs[0], slice.index * rows, rows, layout_.period, w.first,
                                w.second);
  }

  void forward_begin(const Args& args) const override {
    const Workspace w = workspace(args);
    const float *gain = args.parameters[0], *bias = args.parameters[1];
    if (args.mode == Mode::kTrain) {
      auto* const saved = static_cast<Channel*>(args.saved);
      join_statistics(args, w, saved);
      for (std::int64_t c = 0; c < d_.channels; ++c) set_affine(w, c, saved[c], gain, bias);
    } else {
      for (std::int64_t c = 0; c < d_.channels; ++c) {
        const double variance = args.statistics[1][c];
        const auto rstd = static_cast<float>(1 / std::sqrt(variance + d_.epsilon));
        set_affine(w, c, {args.statistics[0][c], 0, rstd}, gain, bias);
      }
    }
    repeat(w.mean), repeat(w.scale), repeat(w.shift);
  }

  void forward_slice(const Args& args, Slice slice) const override {
    BatchNormPass pass = pass_over(args, slice);
    pass.residual = d_.residual ? args.inputs[1] : nullptr;
    pass.y = args.output, pass.relu = relu_;
    kernels().normalise(pass);
  }

  void backward_gather(const Args& args, Slice slice) const override {
    const Workspace w = workspace(args);
    if (slice.index == 0) {
      const auto* const saved = static_cast<const Channel*>(args.saved);
      const float *gain = args.parameters[0], *bias = args.parameters[1];
      for (std::int64_t c = 0; c < d_.channels; ++c) set_affine(w, c, saved[c], gain, bias);
      repeat(w.mean), repeat(w.scale), repeat(w.shift);
      std::fill_n(w.first, 2 * layout_.period, 0.0);
    }
    BatchNormPass pass = pass_over(args, slice);
    pass.mask = !relu_         ? ReluMask::kNone
                : !d_.residual ? ReluMask::kFromInput
                               : ReluMask::kFromOutput;
    pass.d_residual = d_.residual ? args.d_inputs[1] : nullptr;
    kernels().gradient_sums(pass, w.first, w.second);
  }

  void backward_begin(const Args& args) const override {
    const Workspace w = workspace(args);
    const auto* const saved = static_cast<const Channel*>(args.saved);
    const float* const gain = args.parameters[0];
    const double n = static_cast<double>(d_.rows);
    for (std::int64_t c = 0; c < d_.channels; ++c) {
      const Channel& s = saved[c];
      const double d_bias = folded(w.first, c);
      const double d_gain = s.rstd * (folded(w.second, c) - double{s.mean_rest} * d_bias);
      w.d_gain[c] = static_cast<float>(d_gain);
      w.d_bias[c] = static_cast<float>(d_bias);
      // dx = gain rstd (dz - mean(dz) - x^ mean(dz x^)), x^ = (x - mean - mean_rest) rstd.
      const double slope = double{gain[c]} * s.rstd, by_x = -slope * s.rstd * d_gain / n;
      w.by_dz[c] = static_cast<float>(slope);
      w.by_x[c] = static_cast<float>(by_x);
      w.constant[c] = static_cast<float>(-slope * d_bias / n - by_x * s.mean_rest);
    }
    repeat(w.by_dz), repeat(w.by_x), repeat(w.constant);
  }

  void backward_slice(const Args& args, Slice slice) const override {
    if (args.d_inputs[0] == nullptr) return;
    BatchNormPass pass = pass_over(args, slice);
    pass.dx = args.d_inputs[0];
    const bool kept = d_.residual && args.d_inputs[1] != nullptr;
    if (kept) {  // holds dy behind the mask: one array less to read
      pass.dy = args.d_inputs[1];
    } else if (relu_) {
      pass.mask = d_.residual ? ReluMask::kFromOutput : ReluMask::kFromInput;
    }
    kernels().input_gradient(pass);
  }

  void backward_finish(const Args& args) const override {
    const Workspace w = workspace(args);
    std::copy_n(w.d_gain, d_.channels, args.d_parameters[0]);
    std::copy_n(w.d_bias, d_.channels, args.d_parameters[1]);
  }

  std::size_t saved_bytes() const override { return sizeof(Channel) * d_.channels; }
  std::size_t workspace_bytes() const override {
    return layout_.period * (2 * sizeof(double) + 8 * sizeof(float));
  }
  bool backward_needs_output() const override { return relu_ && d_.residual; }
  // dy behind the mask replaces dy.
  int in_place_gradient() const override { return d_.residual ? 1 : -1; }
  Cost cost() const override { return cost_of(d_); }

 private:
  struct Workspace {
    double *first, *second;  // [period] statistics or gradient sums
    float *mean, *scale, *shift, *by_dz, *by_x, *constant, *d_gain, *d_bias;
  };

  Workspace workspace(const Args& args) const {
    auto* const sums = static_cast<double*>(args.workspace);
    auto* const floats = reinterpret_cast<float*>(sums + 2 * layout_.period);
    const std::int64_t n = layout_.period;
    return {sums,           sums + n,       floats,         floats + n,     floats + 2 * n,
            floats + 3 * n, floats + 4 * n, floats + 5 * n, floats + 6 * n, floats + 7 * n};
  }

  // What all passes over a slice share. The rest rows come with a slice of everything only.
  BatchNormPass pass_over(const Args& args, Slice slice) const {
    const Workspace w = workspace(args);
    BatchNormPass pass;
    pass.rows = layout_.virtual_rows / slice.count;
    pass.period = layout_.period;
    pass.rest = layout_.rest_rows * d_.channels;
    pass.x = args.inputs[0], pass.dy = args.d_output, pass.output = args.output;
    pass.mean = w.mean, pass.scale = w.scale, pass.shift = w.shift;
    pass.by_dz = w.by_dz, pass.by_x = w.by_x, pass.constant = w.constant;
    return pass;
  }

  void set_affine(const Workspace& w, std::int64_t c, const Channel& s, const float* gain,
                  const float* bias) const {
    w.mean[c] = s.mean;
    w.scale[c] = scale_of(s, gain[c]);
    w.shift[c] = shift_of(s, gain[c], bias[c]);
  }

  // Fills a period from its first `channels` values.
  void repeat(float* values) const {
    for (std::int64_t i = d_.channels; i < layout_.period; ++i) values[i] = values[i - d_.channels];
  }

  // The sum of a channel's columns.
  double folded(const double* columns, std::int64_t c) const {
    double sum = columns[c];
    for (std::int64_t i = c + d_.channels; i < layout_.period; i += d_.channels) sum += columns[i];
    return sum;
  }

  // Joins the columns of each channel and the rest rows (Chan, Golub & LeVeque 1983).
  void join_statistics(const Args& args, const Workspace& w, Channel* saved) const {
    check_has_variance(d_);
    const auto& l = layout_;
    const float* const rest = args.inputs[0] + l.virtual_rows * l.period;
    for (std::int64_t c = 0; c < d_.channels; ++c) {
      double count = 0, mean = 0, squares = 0;
      const auto join = [&](double other, double other_mean, double other_squares) {
        const double delta = other_mean - mean, total = count + other;
        mean += delta * (other / total);
        squares += other_squares + delta * delta * (count * other / total);
        count = total;
      };
      for (std::int64_t i = c; l.virtual_rows > 0 && i < l.period; i += d_.channels) {
        join(static_cast<double>(l.virtual_rows), w.first[i], w.second[i]);
      }
      for (std::int64_t r = 0; r < l.rest_rows; ++r) join(1, rest[r * d_.channels + c], 0);
      const double rows = static_cast<double>(d_.rows);
      const auto high = static_cast<float>(mean);
      saved[c] = {high, static_cast<float>(mean - high),
                  static_cast<float>(1 / std::sqrt(squares / rows + d_.epsilon))};
      if (args.lane_statistics != nullptr) {
        args.lane_statistics[0][c] = high;
        args.lane_statistics[1][c] = static_cast<float>(squares / (rows - 1));
      }
    }
  }

  BatchNorm d_;
  BatchNormLayout layout_;
  bool relu_;
};

}  // namespace

std::unique_ptr<Op> make_cpu(const BatchNorm& d) {
  return std::make_unique<CpuBatchNorm>(d);
}

}  // namespace lockstep::ops
