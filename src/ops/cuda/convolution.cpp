// Convolution by cuDNN; bias and relu by one pass of our own over the output, since cuDNN fuses
// them into fp32 convolutions only on tensor cores, which would round the factors.
#include <algorithm>
#include <optional>

#include "kernels/bias_activation.h"
#include "kernels/weight_order.h"
#include "lockstep/core/error.h"
#include "ops/cost.h"
#include "ops/cuda/convolution_plan.h"
#include "ops/cuda/make.h"
#include "ops/cuda/parts.h"
#include "ops/cuda/pointwise.h"

namespace lockstep::ops {
namespace {

using Bf16 = __nv_bfloat16;
using Direction = ConvolutionPlan::Direction;

struct Plans {
  Plans(const Device& device, const Convolution& c, Precision precision)
      : forward(device, c, Direction::kForward, precision),
        weights(device, c, Direction::kWeights, precision) {
    if (c.need_d_input) data.emplace(device, c, Direction::kData, precision);
  }
  // The first that cuDNN cannot compute, or null.
  const ConvolutionPlan* missing() const {
    if (!forward.available()) return &forward;
    if (!weights.available()) return &weights;
    return data && !data->available() ? &*data : nullptr;
  }
  ConvolutionPlan forward, weights;
  std::optional<ConvolutionPlan> data;
};

Plans plans_of(const Device& device, const Convolution& c, bool bf16) {
  Plans plans(device, c, bf16 ? Precision::kBf16 : Precision::kFp32);
  if (const ConvolutionPlan* const missing = plans.missing())
    throw UserError(
        "cuDNN {} has no engine that gives the same bits each time for {}; use "
        "run.device = \"cpu\"",
        cudnnGetVersion(), missing->problem());
  return plans;
}

class CudaConvolution final : public Op {
 public:
  CudaConvolution(Device& device, const Convolution& c)
      : c_(c),
        bf16_(c.precision == Precision::kBf16 && bf16_pays_on_cuda(device, c)),
        plans_(plans_of(device, c, bf16_)),
        group_in_(c.input[-1] / c.groups),
        pixels_in_(c.input.elements() / c.input[-1]),
        pixels_out_(output_shape(c).elements() / c.out_channels) {
    for (const std::int64_t k : c.kernel) places_ *= k;
    plan_memory();
  }

  std::string_view kind() const override { return "convolution"; }

  void forward(const Args& args) const override {
    const void* x = args.inputs[0];
    if (bf16_) {
      const bool train = args.mode == Mode::kTrain;
      Bf16* const rounded =
          train ? Parts::at<Bf16>(args.saved, saved_x_) : at<Bf16>(args, evaluated_x_);
      round(rounded, args.inputs[0], pixels_in_, c_.input[-1], args.stream);
      x = rounded;
    }
    void* const z = bf16_ ? at<void>(args, result_) : args.output;
    plans_.forward.run(x, weights(args), z, at<void>(args, scratch_), args.stream);
    if (!bf16_ && !c_.bias && c_.activation == Activation::kNone) return;
    const float* const bias = c_.bias ? args.parameters[1] : nullptr;
    bf16_ ? finish(args, static_cast<const Bf16*>(z), bias)
          : finish(args, static_cast<const float*>(z), bias);
  }

  void backward(const Args& args) const override {
    const void* const dy = gradient(args);
    const void* const x = bf16_ ? Parts::at<void>(args.saved, saved_x_) : args.inputs[0];
    void* const dw = bf16_ || reorders() ? at<void>(args, result_) : args.d_parameters[0];
    plans_.weights.run(x, dw, dy, at<void>(args, scratch_), args.stream);
    const cudaStream_t stream = cuda::native(args.stream);
    if (bf16_)
      kernels::transpose_each(args.d_parameters[0], static_cast<const Bf16*>(dw), c_.out_channels,
                              places_, group_in_, stream);
    else if (reorders())
      kernels::transpose_each(args.d_parameters[0], static_cast<const float*>(dw), c_.out_channels,
                              places_, group_in_, stream);
    if (!plans_.data || args.d_inputs[0] == nullptr) return;
    void* const dx = bf16_ ? at<void>(args, result_) : args.d_inputs[0];
    plans_.data->run(dx, weights(args), dy, at<void>(args, scratch_), args.stream);
    if (bf16_)
      kernels::bias_activation(kernels::BiasActivation<Bf16>{.rows = pixels_in_,
                                                             .columns = c_.input[-1],
                                                             .z = static_cast<const Bf16*>(dx),
                                                             .y = args.d_inputs[0]},
                               stream);
  }

  std::size_t saved_bytes() const override { return saved_.bytes(); }
  std::size_t workspace_bytes() const override { return workspace_.bytes(); }
  std::size_t packed_bytes() const override {
    return bf16_ || reorders() ? (bf16_ ? sizeof(Bf16) : sizeof(float)) * weight_elements() : 0;
  }
  void pack(const float* const* parameters, void* packed, Stream* stream) const override {
    const cudaStream_t native = cuda::native(stream);
    if (bf16_)
      kernels::transpose_each(static_cast<Bf16*>(packed), parameters[0], c_.out_channels, group_in_,
                              places_, native);
    else if (reorders())
      kernels::transpose_each(static_cast<float*>(packed), parameters[0], c_.out_channels,
                              group_in_, places_, native);
  }
  bool backward_needs_inputs() const override { return !bf16_; }
  bool backward_needs_output() const override { return c_.activation == Activation::kRelu; }
  Cost cost() const override { return cost_of(c_); }
  std::vector<std::string> implementations() const override {
    std::vector<std::string> names = {plans_.forward.implementation()};
    if (plans_.data) names.push_back(plans_.data->implementation());
    names.push_back(plans_.weights.implementation());
    return names;
  }

 private:
  // Whether channels-last weights differ from those in the flat buffer.
  bool reorders() const { return places_ > 1 && group_in_ > 1; }
  std::int64_t weight_elements() const { return c_.out_channels * group_in_ * places_; }

  void plan_memory() {
    const std::size_t x = sizeof(Bf16) * c_.input.elements();
    const std::size_t y = sizeof(float) * pixels_out_ * c_.out_channels;
    if (bf16_) saved_x_ = saved_.add(x), evaluated_x_ = workspace_.add(x);
    if (bf16_)
      dy_ = workspace_.add(y / 2);
    else if (c_.activation == Activation::kRelu)
      dy_ = workspace_.add(y);
    const std::size_t dw = (bf16_ ? sizeof(Bf16) : sizeof(float)) * weight_elements();
    if (bf16_)
      result_ = workspace_.add(std::max({x, y / 2, dw}));
    else if (reorders())
      result_ = workspace_.add(dw);
    if (c_.bias)
      sums_ = workspace_.add(kernels::bias_workspace_bytes(pixels_out_, c_.out_channels));
    const std::size_t data = plans_.data ? plans_.data->workspace_bytes() : 0;
    scratch_ = workspace_.add(
        std::max({plans_.forward.workspace_bytes(), plans_.weights.workspace_bytes(), data}));
  }
  template <class T>
  static T* at(const Args& args, Parts::Part part) {
    return Parts::at<T>(args.workspace, part);
  }

  const void* weights(const Args& args) const {
    return packed_bytes() > 0 ? args.packed : args.parameters[0];
  }

  static void round(Bf16* to, const float* from, std::int64_t rows, std::int64_t columns,
                    Stream* stream) {
    kernels::bias_activation(
        kernels::BiasActivation<float>{.rows = rows, .columns = columns, .z = from, .y_bf16 = to},
        cuda::native(stream));
  }

  template <class Z>
  void finish(const Args& args, const Z* z, const float* bias) const {
    kernels::BiasActivation<Z> end{.rows = pixels_out_, .columns = c_.out_channels};
    end.z = z, end.y = args.output, end.bias = bias, end.activation = c_.activation;
    kernels::bias_activation(end, cuda::native(args.stream));
  }

  // The gradient behind relu, as a factor of the convolutions; also writes d_bias.
  const void* gradient(const Args& args) const {
    const bool relu = c_.activation == Activation::kRelu;
    if (!relu && !c_.bias && !bf16_) return args.d_output;
    kernels::BiasActivationGradient<float> g{.rows = pixels_out_, .columns = c_.out_channels};
    g.dy = args.d_output;
    g.from = relu ? args.output : nullptr;
    if (bf16_)
      g.dz_bf16 = at<Bf16>(args, dy_);
    else
      g.dz = at<float>(args, dy_);
    if (c_.bias) g.d_bias = args.d_parameters[1];
    g.workspace = at<void>(args, sums_);
    g.activation = c_.activation;
    kernels::bias_activation_gradient(g, cuda::native(args.stream));
    if (bf16_) return g.dz_bf16;
    return g.dz != nullptr ? g.dz : args.d_output;
  }

  Convolution c_;
  bool bf16_;
  Plans plans_;
  std::int64_t group_in_, pixels_in_, pixels_out_, places_ = 1;
  Parts saved_, workspace_;
  Parts::Part saved_x_, evaluated_x_, dy_, result_, sums_, scratch_;
};

}  // namespace

// Tensor cores have bf16 from sm_80 on; cuDNN must also have engines for all that training needs.
bool bf16_pays_on_cuda(const Device& device, const Convolution& c) {
  constexpr int kFirst = 80;
  if (as_cuda(device).capability() < kFirst) return false;
  return is_pointwise(c) || Plans(device, c, Precision::kBf16).missing() == nullptr;
}

std::unique_ptr<Op> make_cuda(Device& device, const Convolution& c) {
  LOCKSTEP_CHECK(c.activation == Activation::kNone || c.activation == Activation::kRelu);
  output_shape(c);
  if (is_pointwise(c)) return make_pointwise(device, c);
  return std::make_unique<CudaConvolution>(device, c);
}

}  // namespace lockstep::ops
