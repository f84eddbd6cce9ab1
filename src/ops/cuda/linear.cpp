// Linear by cuBLASLt, with what its epilogues cannot do in one kernel before or after the product.
//
// In bf16 the weights are rounded once a step (pack), x once in forward (kept for dW) and the
// gradient once in backward, by the pass that makes it. cuBLASLt's gelu is used in bf16 alone: its
// tanh may be the approximate instruction, 2^-11, which is too coarse for fp32.
#include <algorithm>
#include <optional>

#include "kernels/bias_activation.h"
#include "lockstep/core/error.h"
#include "ops/cost.h"
#include "ops/cuda/make.h"
#include "ops/cuda/matmul.h"
#include "ops/cuda/parts.h"

namespace lockstep::ops {
namespace {

using Bf16 = __nv_bfloat16;

class CudaLinear final : public Op {
 public:
  CudaLinear(Device& device, const Linear& d)
      : device_(device),
        d_(d),
        bf16_(d.precision == Precision::kBf16),
        product_(device, problem(Product::Form::kForward, end())),
        weights_(device, problem(Product::Form::kWeights)) {
    if (d.need_d_input) data_.emplace(device, problem(Product::Form::kData));
    if (fuses_gelu()) {
      gelu_kept_.emplace(device, problem(Product::Form::kForward, Product::End::kBiasGeluKept));
      gelu_.emplace(device, problem(Product::Form::kForward, Product::End::kBiasGelu));
      if (!gelu_->available() || !gelu_kept_->available()) gelu_.reset(), gelu_kept_.reset();
    }
    plan_memory();
  }

  std::string_view kind() const override { return "linear"; }

  void forward(const Args& args) const override {
    const bool train = args.mode == Mode::kTrain;
    const Matmul& product = !gelu_ ? product_ : train ? *gelu_kept_ : *gelu_;
    Matmul::Operands operands;
    operands.a = rounded_input(args, train);
    operands.b = bf16_ ? args.packed : args.parameters[0];
    operands.bias = d_.bias ? args.parameters[1] : nullptr;
    float* const kept = train ? Parts::at<float>(args.saved, kept_) : nullptr;
    if (!ends_in_kernel()) {
      operands.c = args.output;
      operands.before_gelu = kept;
      operands.added = d_.residual ? args.inputs[1] : nullptr;
      run(product, operands, args);
      return;
    }
    operands.c = kept != nullptr ? kept : args.output;
    run(product, operands, args);
    kernels::BiasActivation<float> end{.rows = d_.rows, .columns = d_.out, .z = operands.c};
    end.residual = d_.residual ? args.inputs[1] : nullptr;
    end.y = args.output;
    end.activation = d_.activation;
    if (train) end.drop = drop(args);
    kernels::bias_activation(end, cuda::native(args.stream));
  }

  void backward(const Args& args) const override {
    if (d_.residual && args.d_inputs[1] != nullptr && args.d_inputs[1] != args.d_output)
      device_.copy(args.d_inputs[1], args.d_output, sizeof(float) * d_.rows * d_.out, *args.stream);
    const void* const dy = gradient(args);
    Matmul::Operands weights{.a = dy, .c = args.d_parameters[0]};
    weights.b = bf16_ ? Parts::at<void>(args.saved, saved_x_) : args.inputs[0];
    run(weights_, weights, args);
    if (!data_ || args.d_inputs[0] == nullptr) return;
    run(*data_, {.a = dy, .b = bf16_ ? args.packed : args.parameters[0], .c = args.d_inputs[0]},
        args);
  }

  std::size_t saved_bytes() const override { return saved_.bytes(); }
  std::size_t workspace_bytes() const override { return workspace_.bytes(); }
  std::size_t packed_bytes() const override { return bf16_ ? sizeof(Bf16) * d_.in * d_.out : 0; }
  void pack(const float* const* parameters, void* packed, Stream* stream) const override {
    if (bf16_) round(static_cast<Bf16*>(packed), parameters[0], d_.out, stream);
  }
  bool backward_needs_inputs() const override { return !bf16_; }
  bool backward_needs_output() const override {
    return d_.activation == Activation::kRelu && !keeps_activation_input(d_);
  }
  int in_place_gradient() const override { return d_.residual ? 1 : -1; }
  Cost cost() const override { return cost_of(d_); }
  std::vector<std::string> implementations() const override {
    return {(gelu_ ? *gelu_kept_ : product_).implementation()};
  }

 private:
  Product problem(Product::Form form, Product::End end = Product::End::kNone) const {
    return {form, d_.rows, d_.in, d_.out, d_.precision, end};
  }
  Product::End end() const {
    if (!d_.bias) return Product::End::kNone;
    return fuses_relu() ? Product::End::kBiasRelu : Product::End::kBias;
  }
  bool bare() const { return d_.bias && !d_.residual && d_.dropout == 0; }
  bool fuses_relu() const { return bare() && d_.activation == Activation::kRelu; }
  bool fuses_gelu() const {
    return bare() && bf16_ && d_.activation == Activation::kGeluTanh && d_.out % 8 == 0;
  }
  bool ends_in_kernel() const { return changes_gradient(d_) && !fuses_relu() && !gelu_; }

  void plan_memory() {
    const std::size_t y = sizeof(float) * d_.rows * d_.out, x = sizeof(Bf16) * d_.rows * d_.in;
    if (keeps_activation_input(d_)) kept_ = saved_.add(y);
    if (bf16_) saved_x_ = saved_.add(x), evaluated_x_ = workspace_.add(x);
    if (bf16_)
      dy_ = workspace_.add(y / 2);
    else if (changes_gradient(d_))
      dy_ = workspace_.add(y);
    if (d_.bias) sums_ = workspace_.add(kernels::bias_workspace_bytes(d_.rows, d_.out));
    std::size_t most = std::max(product_.workspace_bytes(), weights_.workspace_bytes());
    for (const auto* other : {&data_, &gelu_, &gelu_kept_})
      if (*other) most = std::max(most, (*other)->workspace_bytes());
    scratch_ = workspace_.add(most);
  }

  void run(const Matmul& product, const Matmul::Operands& operands, const Args& args) const {
    product.run(operands, Parts::at<void>(args.workspace, scratch_), args.stream);
  }

  static void round_rows(Bf16* to, const float* from, std::int64_t rows, std::int64_t columns,
                         Stream* stream) {
    kernels::bias_activation(
        kernels::BiasActivation<float>{.rows = rows, .columns = columns, .z = from, .y_bf16 = to},
        cuda::native(stream));
  }
  void round(Bf16* to, const float* from, std::int64_t rows, Stream* stream) const {
    round_rows(to, from, rows, d_.in, stream);
  }
  const void* rounded_input(const Args& args, bool train) const {
    if (!bf16_) return args.inputs[0];
    Bf16* const x = train ? Parts::at<Bf16>(args.saved, saved_x_)
                          : Parts::at<Bf16>(args.workspace, evaluated_x_);
    round(x, args.inputs[0], d_.rows, args.stream);
    return x;
  }

  kernels::Drop drop(const Args& args) const {
    return {args.device_random, args.random.op, d_.dropout};
  }

  // The gradient behind dropout and activation, as a factor of the products; also writes d_bias.
  const void* gradient(const Args& args) const {
    if (!changes_gradient(d_) && !d_.bias && !bf16_) return args.d_output;
    kernels::BiasActivationGradient<float> g{.rows = d_.rows, .columns = d_.out};
    g.dy = args.d_output;
    if (keeps_activation_input(d_)) g.from = Parts::at<float>(args.saved, kept_);
    if (backward_needs_output()) g.from = args.output;
    if (bf16_)
      g.dz_bf16 = Parts::at<Bf16>(args.workspace, dy_);
    else
      g.dz = Parts::at<float>(args.workspace, dy_);
    if (d_.bias) g.d_bias = args.d_parameters[1];
    g.workspace = Parts::at<void>(args.workspace, sums_);
    g.activation = d_.activation;
    g.drop = drop(args);
    kernels::bias_activation_gradient(g, cuda::native(args.stream));
    if (bf16_) return g.dz_bf16;
    return g.dz != nullptr ? g.dz : args.d_output;
  }

  Device& device_;
  Linear d_;
  bool bf16_;
  Matmul product_, weights_;
  std::optional<Matmul> data_, gelu_, gelu_kept_;
  Parts saved_, workspace_;
  Parts::Part kept_, saved_x_, evaluated_x_, dy_, sums_, scratch_;
};

}  // namespace

std::unique_ptr<Op> make_cuda(Device& device, const Linear& d) {
  LOCKSTEP_CHECK(d.rows > 0 && d.in > 0 && d.out > 0);
  LOCKSTEP_CHECK(d.dropout >= 0 && d.dropout < 1, "linear with dropout {}", d.dropout);
  return std::make_unique<CudaLinear>(device, d);
}

}  // namespace lockstep::ops
