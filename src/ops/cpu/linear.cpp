// Linear by oneDNN's matmul: y = x W^T + b, dx = dy W, dW = dy^T x.
//
// Measured on one core (286 GFLOP/s of FMA peak), 1024 -> 1024, rows 128 / 16, GFLOP/s:
//   forward:        packed 255 / 256, flat weights 241 / 163, inner_product packed 260 / 255
//   data gradient:  packed 259 / 257, flat weights 241 / 167, inner_product packed 244 / 166
//   weight gradient: matmul with dy as a transposed factor 253 / 230; inner_product to the flat
//   layout 247 / 227, to its own layout 254 / 229 and 280 us more to bring that to the flat one.
// So matmul does all three, and the gradient goes straight into the flat buffer.
#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"
#include "ops/cpu/dense_kernels.h"
#include "ops/cpu/weight_form.h"

namespace lockstep::ops {
namespace {

using Tag = dnnl::memory::format_tag;
using Layout = dnnl::memory::desc;

struct Product {
  Primitive primitive;
  WeightForm weights;
};

// to = from x weights (+ bias). Only oneDNN's batch-reduced kernels gain from packed weights; the
// others pack in their own way inside.
Product make_product(const Layout& from, const Layout& flat, const Layout& to, bool bias,
                     std::size_t& packed_bytes) {
  const auto describe = [&](const Layout& weights) {
    const auto attributes = strict_attributes();
    const auto description =
        bias ? dnnl::matmul::desc(from, weights, dense({1, to.dims()[1]}, Tag::ab), to)
             : dnnl::matmul::desc(from, weights, to);
    return dnnl::matmul::primitive_desc(description, attributes, onednn_engine());
  };
  auto description = describe(dense(flat.dims(), Tag::any));
  if (description.weights_desc().data.format_desc.blocking.inner_nblks == 0) {
    description = describe(flat);
  }
  std::vector<Primitive::Port> ports = {
      {DNNL_ARG_SRC, from}, {DNNL_ARG_WEIGHTS, description.weights_desc()}, {DNNL_ARG_DST, to}};
  if (bias) ports.push_back({DNNL_ARG_BIAS, description.bias_desc()});
  return {Primitive(dnnl::matmul(description), description, std::move(ports)),
          WeightForm(flat, description.weights_desc(), packed_bytes)};
}

class LinearOp : public Op {
 public:
  explicit LinearOp(const Linear& d) : d_(d) {
    use_one_thread();
    const Layout x = dense({d.rows, d.in}, Tag::ab), y = dense({d.rows, d.out}, Tag::ab);
    forward_ = make_product(x, dense({d.in, d.out}, Tag::ba), y, d.bias, packed_bytes_);
    if (d.need_d_input) {
      data_ = make_product(y, dense({d.out, d.in}, Tag::ab), x, false, packed_bytes_);
    }
    const Layout y_transposed = dense({d.out, d.rows}, Tag::ba), w = dense({d.out, d.in}, Tag::ab);
    const dnnl::matmul::primitive_desc description({y_transposed, x, w}, strict_attributes(),
                                                   onednn_engine());
    weights_ = Primitive(dnnl::matmul(description), description,
                         {{DNNL_ARG_SRC, y_transposed}, {DNNL_ARG_WEIGHTS, x}, {DNNL_ARG_DST, w}});

    const std::size_t masked = relu() ? line_up(sizeof(float) * d.rows * d.out) : 0;
    const std::size_t sums = d.bias ? line_up(sizeof(double) * (d.out + 15)) : 0;
    sums_begin_ = masked;
    scratch_begin_ = masked + sums;
    workspace_bytes_ =
        scratch_begin_ + std::max({forward_.primitive.scratch_bytes(),
                                   data_.primitive.scratch_bytes(), weights_.scratch_bytes()});
  }

  std::string_view kind() const override { return "linear"; }

  void forward(const Args& args) const override {
    const void* w = forward_.weights.find(args.parameters[0], args.packed);
    void* scratch = static_cast<std::byte*>(args.workspace) + scratch_begin_;
    if (d_.bias) {
      forward_.primitive.run({args.inputs[0], w, args.output, args.parameters[1]}, scratch);
    } else {
      forward_.primitive.run({args.inputs[0], w, args.output}, scratch);
    }
    // Not oneDNN's post-op, which turns NaN into 0 and would hide a broken sample. About 10 us for
    // 128 x 1024, 1 % of the product.
    if (relu()) dense_kernels().relu(args.output, d_.rows * d_.out);
  }

  void backward(const Args& args) const override {
    std::byte* workspace = static_cast<std::byte*>(args.workspace);
    void* scratch = workspace + scratch_begin_;
    float* masked = relu() ? reinterpret_cast<float*>(workspace) : nullptr;
    dense_kernels().prepare_gradient(masked, d_.bias ? args.d_parameters[1] : nullptr,
                                     reinterpret_cast<double*>(workspace + sums_begin_),
                                     args.d_output, args.output, d_.rows, d_.out);
    const float* dy = relu() ? masked : args.d_output;
    weights_.run({dy, args.inputs[0], args.d_parameters[0]}, scratch);
    if (d_.need_d_input && args.d_inputs[0] != nullptr) {
      data_.primitive.run(
          {dy, data_.weights.find(args.parameters[0], args.packed), args.d_inputs[0]}, scratch);
    }
  }

  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  std::size_t packed_bytes() const override { return packed_bytes_; }
  void pack(const float* const* parameters, void* packed) const override {
    forward_.weights.pack(parameters[0], packed);
    if (d_.need_d_input) data_.weights.pack(parameters[0], packed);
  }
  bool backward_needs_output() const override { return relu(); }

  std::vector<std::string> implementations() const override {
    return {forward_.primitive.implementation(), data_.primitive.implementation(),
            weights_.implementation()};
  }

  Cost cost() const override {
    const double rows = d_.rows, in = d_.in, out = d_.out, bias = d_.bias ? out : 0;
    const double product = 2 * rows * in * out, x = rows * in, y = rows * out, w = in * out;
    Cost cost;
    cost.forward_flops = product + rows * bias;
    cost.forward_bytes = sizeof(float) * (x + y + w + bias);
    cost.backward_flops = (d_.need_d_input ? 2 : 1) * product + rows * bias;
    cost.backward_bytes =
        sizeof(float) * (x + y * (relu() ? 2 : 1) + w + bias + (d_.need_d_input ? x + w : 0));
    return cost;
  }

 private:
  bool relu() const { return d_.activation == Activation::kRelu; }

  Linear d_;
  Product forward_, data_;
  Primitive weights_;
  std::size_t packed_bytes_ = 0, workspace_bytes_ = 0, sums_begin_ = 0, scratch_begin_ = 0;
};

}  // namespace

std::unique_ptr<Op> make(Device&, const Linear& d) {
  LOCKSTEP_CHECK(d.rows > 0 && d.in > 0 && d.out > 0);
  LOCKSTEP_CHECK(d.activation == Activation::kNone || d.activation == Activation::kRelu);
  return std::make_unique<LinearOp>(d);
}

}  // namespace lockstep::ops
