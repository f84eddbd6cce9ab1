// Convolution by oneDNN's direct kernels on channels-last activations, which on this layout are as
// fast as on blocked ones (measured: forward 221 to 290, data 203 to 265, weights 218 to 294
// GFLOP/s for resnet20's shapes, peak 286). Never auto or Winograd: their bits depend on choices.
//
// Weights and their gradient take oneDNN's own layouts: with the flat layout oneDNN 2.6 has only
// its reference loops (0.6 GFLOP/s) for the weight gradient, so that is reordered from the
// workspace; weights are at most a few MB.
//
// A large microbatch is worked through in parts, some samples that fit in the second-level cache:
// the kernels run up to 1.3 times faster there, and the gradient of a part is still in cache when
// its data gradient is computed. The parts depend on shapes alone, and their weight gradients are
// added in order. A slice is one part or several.
#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"
#include "lockstep/ops/vector.h"
#include "ops/cpu/convolution_direct.h"
#include "ops/cpu/convolution_shape.h"
#include "ops/cpu/dense_kernels.h"
#include "ops/cpu/weight_form.h"

namespace lockstep::ops {
namespace {

using Layout = ConvolutionLayouts::Layout;

Convolution one_part(Convolution c) {
  c.input[0] = part_of(c);
  return c;
}

class OneDnnConvolution : public Op {
 public:
  explicit OneDnnConvolution(const Convolution& c) : c_(c) {
    use_one_thread();
    const ConvolutionLayouts l(one_part(c));
    constexpr auto kDirect = dnnl::algorithm::convolution_direct;
    const auto attributes = strict_attributes();
    const dnnl::engine& engine = onednn_engine();
    using Forward = dnnl::convolution_forward;
    using Data = dnnl::convolution_backward_data;
    using Weights = dnnl::convolution_backward_weights;

    const Forward::primitive_desc forward({dnnl::prop_kind::forward_training, kDirect, l.x, l.any,
                                           l.bias, l.y, l.stride, l.gaps, l.padding, l.padding},
                                          attributes, engine);
    if (forward_by_data_kernel(c)) {
      const Forward::primitive_desc hint(
          {dnnl::prop_kind::forward_training, kDirect, l.y, l.any_flipped, Layout(), l.x, l.stride,
           l.gaps, l.flipped_padding, l.flipped_padding},
          attributes, engine);
      const Data::primitive_desc flipped({kDirect, l.y, l.any_flipped, l.x, l.stride, l.gaps,
                                          l.flipped_padding, l.flipped_padding},
                                         attributes, engine, hint);
      forward_ = Primitive(Data(flipped), flipped,
                           {{DNNL_ARG_DIFF_DST, l.x},
                            {DNNL_ARG_WEIGHTS, flipped.weights_desc()},
                            {DNNL_ARG_DIFF_SRC, l.y}});
      flipped_ = true;
      packed_bytes_ = line_up(l.flat.get_size());  // the flipped weights, before their form
      forward_weights_ = WeightForm(l.flat_flipped, flipped.weights_desc(), packed_bytes_);
    } else {
      std::vector<Primitive::Port> ports = {
          {DNNL_ARG_SRC, l.x}, {DNNL_ARG_WEIGHTS, forward.weights_desc()}, {DNNL_ARG_DST, l.y}};
      if (c.bias) ports.push_back({DNNL_ARG_BIAS, l.bias});
      forward_ = Primitive(Forward(forward), forward, std::move(ports));
      forward_weights_ = WeightForm(l.flat, forward.weights_desc(), packed_bytes_);
    }

    if (c.need_d_input) {
      const Data::primitive_desc data(
          {kDirect, l.x, l.any, l.y, l.stride, l.gaps, l.padding, l.padding}, attributes, engine,
          forward);
      data_ = Primitive(Data(data), data,
                        {{DNNL_ARG_DIFF_DST, l.y},
                         {DNNL_ARG_WEIGHTS, data.weights_desc()},
                         {DNNL_ARG_DIFF_SRC, l.x}});
      data_weights_ = WeightForm(l.flat, data.weights_desc(), packed_bytes_);
    }

    const Weights::primitive_desc weights(
        {kDirect, l.x, l.any, l.y, l.stride, l.gaps, l.padding, l.padding}, attributes, engine,
        forward);
    const Layout d_weights = weights.diff_weights_desc();
    weights_ = Primitive(
        Weights(weights), weights,
        {{DNNL_ARG_SRC, l.x}, {DNNL_ARG_DIFF_DST, l.y}, {DNNL_ARG_DIFF_WEIGHTS, d_weights}});
    if (d_weights != l.flat) reorder_ = make_reorder(d_weights, l.flat);
    plan_workspace(d_weights.get_size());
  }

  std::string_view kind() const override { return "convolution"; }

  void forward(const Args& args) const override { forward_slice(args, {}); }

  void backward(const Args& args) const override {
    backward_slice(args, {});
    backward_finish(args);
  }

  // A bias' gradient and a fused relu's mask take a pass over everything.
  std::int64_t slices() const override { return c_.bias || relu() ? 1 : parts_; }

  void forward_slice(const Args& args, Slice slice) const override {
    const auto* weights = flipped_ ? static_cast<const float*>(args.packed) : args.parameters[0];
    const void* w = forward_weights_.find(weights, args.packed);
    void* scratch = static_cast<std::byte*>(args.workspace) + scratch_begin_;
    for (std::int64_t p = 0; p < parts_ / slice.count; ++p) {
      const float* x = args.inputs[0] + p * x_part_;
      float* y = args.output + p * y_part_;
      if (c_.bias) {
        forward_.run({x, w, y, args.parameters[1]}, scratch);
      } else {
        forward_.run({x, w, y}, scratch);
      }
      // Not oneDNN's post-op, which turns NaN into 0 and would hide a broken sample.
      if (relu()) dense_kernels().relu(y, y_part_);
    }
  }

  void backward_slice(const Args& args, Slice slice) const override {
    std::byte* workspace = static_cast<std::byte*>(args.workspace);
    void* scratch = workspace + scratch_begin_;
    const float* dy = args.d_output;
    if (c_.bias || relu()) {
      float* masked = relu() ? reinterpret_cast<float*>(workspace) : nullptr;
      dense_kernels().prepare_gradient(masked, d_bias(args),
                                       reinterpret_cast<double*>(workspace + sums_begin_), dy,
                                       args.output, rows_, c_.out_channels);
      if (relu()) dy = masked;
    }
    float* sum = reinterpret_cast<float*>(workspace + d_weights_begin_);
    float* addend = reinterpret_cast<float*>(workspace + addend_begin_);
    const bool data = c_.need_d_input && args.d_inputs[0] != nullptr;
    const void* w = data ? data_weights_.find(args.parameters[0], args.packed) : nullptr;
    const std::int64_t parts = parts_ / slice.count;
    for (std::int64_t p = 0; p < parts; ++p) {
      const bool first = p == 0 && slice.index == 0;
      const float* dy_part = dy + p * y_part_;
      weights_.run({args.inputs[0] + p * x_part_, dy_part, first ? sum : addend}, scratch);
      if (!first) add(sum, sum, addend, d_weights_elements_);
      if (data) data_.run({dy_part, w, args.d_inputs[0] + p * x_part_}, scratch);
    }
  }

  void backward_finish(const Args& args) const override {
    std::byte* workspace = static_cast<std::byte*>(args.workspace);
    const auto* sum = reinterpret_cast<const float*>(workspace + d_weights_begin_);
    if (reorder_) {
      reorder_.run({sum, args.d_parameters[0]}, workspace + scratch_begin_);
    } else {
      std::copy_n(sum, d_weights_elements_, args.d_parameters[0]);
    }
    if (c_.bias) std::copy_n(d_bias(args), c_.out_channels, args.d_parameters[1]);
  }

  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  std::size_t packed_bytes() const override { return packed_bytes_; }
  void pack(const float* const* parameters, void* packed, Stream* /*stream*/) const override {
    const float* weights = parameters[0];
    if (flipped_) {
      auto* const flipped = static_cast<float*>(packed);
      transpose_and_flip(c_, flipped, weights);
      weights = flipped;
    }
    forward_weights_.pack(weights, packed);
    if (c_.need_d_input) data_weights_.pack(parameters[0], packed);
  }
  bool backward_needs_output() const override { return relu(); }

  std::vector<std::string> implementations() const override {
    return {forward_.implementation(), data_.implementation(), weights_.implementation()};
  }

  Cost cost() const override { return cost_of(c_); }

 private:
  bool relu() const { return c_.activation == Activation::kRelu; }

  float* d_bias(const Args& args) const {
    return c_.bias
               ? reinterpret_cast<float*>(static_cast<std::byte*>(args.workspace) + d_bias_begin_)
               : nullptr;
  }

  // [masked gradient | bias sums | bias gradient | weight gradient in oneDNN's layout | that of one
  // more part | scratch of one primitive]
  void plan_workspace(std::size_t d_weights_bytes) {
    const Shape y = output_shape(c_);
    rows_ = y.elements() / y[-1];
    parts_ = c_.input[0] / part_of(c_);
    x_part_ = c_.input.elements() / parts_;
    y_part_ = y.elements() / parts_;
    d_weights_elements_ = static_cast<std::int64_t>(d_weights_bytes / sizeof(float));
    sums_begin_ = relu() ? line_up(sizeof(float) * y.elements()) : 0;
    d_bias_begin_ = sums_begin_ + (c_.bias ? line_up(sizeof(double) * (y[-1] + 15)) : 0);
    d_weights_begin_ = d_bias_begin_ + (c_.bias ? line_up(sizeof(float) * y[-1]) : 0);
    addend_begin_ = d_weights_begin_ + line_up(d_weights_bytes);
    scratch_begin_ = addend_begin_ + (parts_ > 1 ? line_up(d_weights_bytes) : 0);
    workspace_bytes_ =
        scratch_begin_ + std::max({forward_.scratch_bytes(), data_.scratch_bytes(),
                                   weights_.scratch_bytes(), reorder_.scratch_bytes()});
  }

  Convolution c_;
  bool flipped_ = false;   // forward_by_data_kernel()
  std::int64_t rows_ = 0;  // samples x output positions
  Primitive forward_, data_, weights_, reorder_;
  WeightForm forward_weights_, data_weights_;
  std::size_t packed_bytes_ = 0, workspace_bytes_ = 0;
  std::size_t sums_begin_ = 0, d_bias_begin_ = 0, d_weights_begin_ = 0, addend_begin_ = 0,
              scratch_begin_ = 0;
  std::int64_t parts_ = 1, x_part_ = 0, y_part_ = 0, d_weights_elements_ = 0;
};

}  // namespace

std::unique_ptr<Op> make_onednn_convolution(const Convolution& c) {
  return std::make_unique<OneDnnConvolution>(c);
}

}  // namespace lockstep::ops
