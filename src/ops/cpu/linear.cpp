// Linear by our own matrix products (gemm.h): y = x W^T, dx = dy W, dW = dy^T x.
//
// Not in slices: the gradient of W wants all of dy at once, which a sweep by slices would have to
// keep for each of its layers, and a product reads its factors too rarely to gain from slices.
#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"
#include "ops/cost.h"
#include "ops/cpu/dense_kernels.h"
#include "ops/cpu/dropout_stream.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/make.h"

namespace lockstep::ops {
namespace {

constexpr std::size_t line_up(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

bool fused(Activation a) {
  return a == Activation::kNone || a == Activation::kRelu || a == Activation::kGelu ||
         a == Activation::kGeluTanh || a == Activation::kSilu;
}

class LinearOp : public Op {
 public:
  explicit LinearOp(const Linear& d)
      : d_(d),
        forward_(Gemm::Form::kForward, d.rows, d.in, d.out, d.precision),
        data_(Gemm::Form::kData, d.rows, d.in, d.out, d.precision),
        weights_(Gemm::Form::kWeights, d.rows, d.in, d.out, d.precision) {}

  std::string_view kind() const override { return "linear"; }

  void forward(const Args& args) const override {
    const bool train = args.mode == Mode::kTrain;
    GemmEpilogue end;
    end.bias = d_.bias ? args.parameters[1] : nullptr;
    end.before = keeps_input() && train ? static_cast<float*>(args.saved) : nullptr;
    end.activation = d_.activation;
    end.residual = d_.residual ? args.inputs[1] : nullptr;
    end.dropout = train ? d_.dropout : 0;
    end.random = args.random;
    forward_.run(args.inputs[0], args.packed, args.output, false, end, args.workspace);
  }

  void backward(const Args& args) const override {
    const Workspace w = workspace(args);
    if (d_.residual && args.d_inputs[1] != nullptr && args.d_inputs[1] != args.d_output) {
      std::memcpy(args.d_inputs[1], args.d_output, sizeof(float) * d_.rows * d_.out);
    }
    if (changes_gradient() || d_.bias) dense_kernels().linear_gradient(gradient(args, w));
    const float* const dy = changes_gradient() ? w.dy : args.d_output;
    weights_.run(dy, args.inputs[0], args.d_parameters[0], false, {}, w.scratch);
    if (d_.need_d_input && args.d_inputs[0] != nullptr) {
      const void* const packed = static_cast<const std::byte*>(args.packed) + data_begin();
      const void* const b = data_.packed_bytes() > 0 ? packed : args.parameters[0];
      data_.run(dy, b, args.d_inputs[0], false, {}, w.scratch);
    }
  }

  std::size_t saved_bytes() const override {
    return keeps_input() ? sizeof(float) * d_.rows * d_.out : 0;
  }
  std::size_t workspace_bytes() const override {
    const std::size_t data = d_.need_d_input ? data_.workspace_bytes() : 0;
    return scratch_begin() +
           std::max({forward_.workspace_bytes(), data, weights_.workspace_bytes()});
  }
  std::size_t packed_bytes() const override {
    return data_begin() + (d_.need_d_input ? data_.packed_bytes() : 0);
  }
  void pack(const float* const* parameters, void* packed, Stream* stream) const override {
    pack_for(Reader::kForward, parameters, packed, stream);
    pack_for(Reader::kBackward, parameters, packed, stream);
  }
  void pack_for(Reader reader, const float* const* parameters, void* packed,
                Stream* /*stream*/) const override {
    if (reader == Reader::kForward) {
      forward_.pack(parameters[0], packed);
    } else if (d_.need_d_input && data_.packed_bytes() > 0) {
      data_.pack(parameters[0], static_cast<std::byte*>(packed) + data_begin());
    }
  }
  bool backward_needs_output() const override {
    return d_.activation == Activation::kRelu && !keeps_input();
  }
  int in_place_gradient() const override { return d_.residual ? 1 : -1; }

  std::vector<std::string> implementations() const override { return {forward_.implementation()}; }

  Cost cost() const override { return cost_of(d_); }

 private:
  struct Workspace {
    double* sums;
    float *band, *dy;
    void* scratch;
  };
  // Sums of d_bias, then the gradient behind dropout and activation, then the products' scratch.
  Workspace workspace(const Args& args) const {
    auto* const begin = static_cast<std::byte*>(args.workspace);
    auto* const sums = reinterpret_cast<double*>(begin);
    return {sums, reinterpret_cast<float*>(sums + sums_columns()),
            reinterpret_cast<float*>(begin + dy_begin()), begin + scratch_begin()};
  }
  std::size_t sums_columns() const { return d_.bias ? (d_.out + 15) / 16 * 16 : 0; }
  std::size_t dy_begin() const { return sums_columns() * (sizeof(double) + sizeof(float)); }
  std::size_t scratch_begin() const {
    return dy_begin() + (changes_gradient() ? line_up(sizeof(float) * d_.rows * d_.out) : 0);
  }
  std::size_t data_begin() const { return line_up(forward_.packed_bytes()); }

  bool keeps_input() const { return keeps_activation_input(d_); }
  bool changes_gradient() const { return ops::changes_gradient(d_); }

  LinearGradient gradient(const Args& args, const Workspace& w) const {
    LinearGradient g{};
    g.d_output = args.d_output;
    if (keeps_input()) g.from = static_cast<const float*>(args.saved);
    if (backward_needs_output()) g.from = args.output;
    g.to = changes_gradient() ? w.dy : nullptr;
    if (d_.bias) g.d_bias = args.d_parameters[1], g.band = w.band, g.sums = w.sums;
    g.rows = d_.rows;
    g.columns = d_.out;
    g.activation = static_cast<int>(d_.activation);
    g.drop = d_.dropout > 0;
    if (g.drop) g.stream = dropout_stream(args.random, d_.dropout, d_.rows * d_.out);
    return g;
  }

  Linear d_;
  Gemm forward_, data_, weights_;
};

}  // namespace

std::unique_ptr<Op> make_cpu(const Linear& d) {
  LOCKSTEP_CHECK(d.rows > 0 && d.in > 0 && d.out > 0);
  LOCKSTEP_CHECK(fused(d.activation), "linear with {}", name_of(d.activation));
  LOCKSTEP_CHECK(d.dropout >= 0 && d.dropout < 1, "linear with dropout {}", d.dropout);
  return std::make_unique<LinearOp>(d);
}

}  // namespace lockstep::ops
