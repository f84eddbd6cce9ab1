// Convolution by our own direct kernels on channels-last activations (conv_rows.inl,
// conv_gradient.inl). A part is a few samples, all of whose positions make one set of the weight
// gradient, or one sample with several sets. Parts and sets depend on shapes alone and are added in
// order. A slice is one part or several.
#include "ops/cpu/convolution_direct.h"

#include <algorithm>

#include "ops/cpu/convolution_shape.h"
#include "ops/cpu/dense_kernels.h"

namespace lockstep::ops {
namespace {

class DirectConvolution : public Op {
 public:
  DirectConvolution(const Convolution& c, DirectPlan plan)
      : c_(c),
        plan_(std::move(plan)),
        parts_(c.input[0] / plan_.part_samples),
        x_sample_(c.input.elements() / c.input[0]),
        y_sample_(plan_.positions * c.out_channels),
        kernels_(plan_.bf16 ? kConvAvx512Bf16 : kConvAvx512) {
    const std::int64_t columns = c.out_channels + 15;
    gradient_begin_ = relu() ? line_up(sizeof(float) * plan_.part_samples * y_sample_) : 0;
    bias_begin_ = gradient_begin_ + line_up(sizeof(float) * plan_.gradient_floats);
    sums_begin_ = bias_begin_ + (c.bias ? line_up(sizeof(float) * c.out_channels) : 0);
    total_begin_ = sums_begin_ + (c.bias ? line_up(sizeof(double) * columns) : 0);
    words_begin_ = total_begin_ + (c.bias ? line_up(sizeof(double) * c.out_channels) : 0);
    pairs_begin_ = words_begin_ + (plan_.bf16 ? line_up(sizeof(float) * most_words()) : 0);
    workspace_bytes_ = pairs_begin_ + (plan_.bf16 ? line_up(sizeof(float) * set_words()) : 0);
  }

  std::string_view kind() const override { return "convolution"; }
  void forward(const Args& args) const override { forward_slice(args, {}); }
  void backward(const Args& args) const override {
    backward_slice(args, {});
    backward_finish(args);
  }
  std::int64_t slices() const override { return parts_; }

  void forward_slice(const Args& args, Slice slice) const override {
    const float* const bias = c_.bias ? args.parameters[1] : nullptr;
    const std::int64_t samples = c_.input[0] / slice.count;
    const std::int64_t step = plan_.bf16 ? plan_.part_samples : samples;
    for (std::int64_t n = 0; n < samples; n += step) {
      const float* x = args.inputs[0] + n * x_sample_;
      if (plan_.bf16) x = channel_words(args, x, x_sample_, c_.input[-1]);
      kernels_.run(plan_.forward, step, x, static_cast<const float*>(args.packed), bias, relu(),
                   args.output + n * y_sample_);
    }
  }

  void backward_slice(const Args& args, Slice slice) const override {
    const std::int64_t parts = parts_ / slice.count;
    for (std::int64_t p = 0; p < parts; ++p) {
      const std::int64_t sample = p * plan_.part_samples;
      const float* const x = args.inputs[0] + sample * x_sample_;
      const float* dy = weight_gradient(args, x, sample, p == 0 && slice.index == 0);
      if (args.d_inputs[0] == nullptr) continue;
      if (plan_.bf16) dy = channel_words(args, dy, y_sample_, c_.out_channels);
      for (const ConvPass& pass : plan_.data) {
        kernels_.run(pass, plan_.part_samples, dy, static_cast<const float*>(args.packed), nullptr,
                     false, args.d_inputs[0] + sample * x_sample_);
      }
    }
  }

  void backward_finish(const Args& args) const override {
    kernels_.unpack(plan_.gradient, at<float>(args, gradient_begin_), args.d_parameters[0]);
    if (!c_.bias) return;
    const auto* const total = at<double>(args, total_begin_);
    std::transform(total, total + c_.out_channels, args.d_parameters[1],
                   [](double sum) { return static_cast<float>(sum); });
  }

  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  std::size_t packed_bytes() const override { return sizeof(float) * plan_.packed_floats; }
  void pack(const float* const* parameters, void* packed, Stream* /*stream*/) const override {
    auto* const to = static_cast<float*>(packed);
    kernels_.pack(plan_.forward, plan_.forward_weights, parameters[0], to);
    for (const ConvPass& pass : plan_.data) {
      kernels_.pack(pass, plan_.data_weights, parameters[0], to);
    }
  }
  bool backward_needs_output() const override { return relu(); }
  std::vector<std::string> implementations() const override { 
    return {plan_.bf16 ? "lockstep:avx512_bf16" : "lockstep:avx512"};
  }
  Cost cost() const override { return cost_of(c_); }

 private:
  bool relu() const { return c_.activation == Activation::kRelu; }

  template <class T>
  T* at(const Args& args, std::size_t begin) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(args.workspace) + begin);
  }

  // bf16: a part's words, of two channels each or as the gradient takes its input.
  std::int64_t most_words() const {
    const ConvGradient& g = plan_.gradient;
    const auto half = [](std::int64_t n) { return (n + 1) / 2; };
    const std::int64_t in = g.in[0] * g.in[1] * g.in[2];
    return plan_.part_samples * std::max({in * half(g.in_channels),
                                          plan_.positions * half(g.out_channels),
                                          g.in[0] * g.in[1] * half(g.in[2]) * g.in_channels});
  }
  std::int64_t set_words() const {
    std::int64_t rows = 0;
    for (const ConvSet& s : plan_.part_sets) rows = std::max(rows, s.samples * s.planes * s.rows);
    return rows * plan_.gradient.pair_words * c_.out_channels;
  }
  const float* channel_words(const Args& args, const float* x, std::int64_t sample,
                             std::int64_t channels) const {
    auto* const words = at<float>(args, words_begin_);
    kernels_.channel_words(words, x, plan_.part_samples * sample / channels, channels);
    return words;
  }

  // Adds the part's weight and bias gradient. Returns its d_output behind relu's mask.
  const float* weight_gradient(const Args& args, const float* x, std::int64_t sample,
                               bool first) const {
    const float* dy = args.d_output + sample * y_sample_;
    float* const masked = at<float>(args, 0);
    float* const sum = at<float>(args, gradient_begin_);
    if (plan_.bf16) {
      auto* const pairs = at<float>(args, words_begin_);
      const ConvGradient& g = plan_.gradient;
      kernels_.input_pairs(g, pairs, x, plan_.part_samples * g.in[0] * g.in[1]);
      x = pairs;
    }
    for (std::size_t i = 0; i < plan_.part_sets.size(); ++i) {
      const ConvSet& set = plan_.part_sets[i];
      prepare(args, set, sample, first && i == 0);
      const float* set_dy = relu() ? masked : dy;
      if (plan_.bf16) {
        auto* const pairs = at<float>(args, pairs_begin_);
        kernels_.gradient_pairs(plan_.gradient, set, pairs, set_dy);
        set_dy = pairs;
      }
      kernels_.gradient(plan_.gradient, set, x, set_dy, first && i == 0, sum);
    }
    return relu() ? masked : dy;
  }

  // relu's mask and the bias gradient of a set, while it is on its way into the cache.
  void prepare(const Args& args, const ConvSet& set, std::int64_t sample, bool first) const {
    if (!c_.bias && !relu()) return;
    const ConvGradient& g = plan_.gradient;
    const std::int64_t row = set.plane * g.out[1] + set.row;
    const std::int64_t rows = set.samples * ((set.planes - 1) * g.out[1] + set.rows);
    const std::int64_t begin = row * g.out[2] * c_.out_channels;
    const std::int64_t from = sample * y_sample_ + begin;
    dense_kernels().prepare_gradient(
        relu() ? at<float>(args, 0) + begin : nullptr,
        c_.bias ? at<float>(args, bias_begin_) : nullptr, at<double>(args, sums_begin_),
        args.d_output + from, relu() ? args.output + from : nullptr, rows * g.out[2],
        c_.out_channels);
    if (!c_.bias) return;
    const auto* const sums = at<double>(args, sums_begin_);
    auto* const total = at<double>(args, total_begin_);
    for (std::int64_t c = 0; c < c_.out_channels; ++c) {
      total[c] = first ? sums[c] : total[c] + sums[c];
    }
  }

  Convolution c_;
  DirectPlan plan_;
  std::int64_t parts_, x_sample_, y_sample_;  // samples: elements
  const ConvKernels& kernels_;
  // [masked d_output of a part | weight gradient in the kernels' layout | bias gradient of a set |
  // its sums | their sum over sets | bf16: words of a part | pairs of a set]
  std::size_t gradient_begin_, bias_begin_, sums_begin_, total_begin_, words_begin_,
      pairs_begin_, workspace_bytes_;
};

}  // namespace

std::unique_ptr<Op> make_direct_convolution(const Convolution& c, DirectPlan plan) {
  return std::make_unique<DirectConvolution>(c, std::move(plan));
}

}  // namespace lockstep::ops
