#include "ops/cuda/pointwise.h"

#include <algorithm>

#include "ops/cost.h"
#include "ops/cuda/make.h"

namespace lockstep::ops {
namespace {

Linear linear_of(const Convolution& c) {
  return {.rows = c.input.elements() / c.input[-1],
          .in = c.input[-1],
          .out = c.out_channels,
          .bias = c.bias,
          .activation = c.activation,
          .need_d_input = c.need_d_input,
          .precision = c.precision};
}

class PointwiseConvolution final : public Op {
 public:
  PointwiseConvolution(Device& device, const Convolution& c)
      : c_(c), linear_(make_cuda(device, linear_of(c))) {}

  std::string_view kind() const override { return "convolution"; }
  void forward(const Args& args) const override { linear_->forward(args); }
  void backward(const Args& args) const override { linear_->backward(args); }
  std::size_t saved_bytes() const override { return linear_->saved_bytes(); }
  std::size_t workspace_bytes() const override { return linear_->workspace_bytes(); }
  std::size_t packed_bytes() const override { return linear_->packed_bytes(); }
  void pack(const float* const* parameters, void* packed, Stream* stream) const override {
    linear_->pack(parameters, packed, stream);
  }
  bool backward_needs_inputs() const override { return linear_->backward_needs_inputs(); }
  bool backward_needs_output() const override { return linear_->backward_needs_output(); }
  Cost cost() const override { return cost_of(c_); }
  std::vector<std::string> implementations() const override { return linear_->implementations(); }

 private:
  Convolution c_;
  std::unique_ptr<Op> linear_;
};

}  // namespace

bool is_pointwise(const Convolution& c) {
  const auto all = [](const std::vector<std::int64_t>& v, std::int64_t n) {
    return std::all_of(v.begin(), v.end(), [n](std::int64_t x) { return x == n; });
  };
  return c.groups == 1 && all(c.kernel, 1) && all(c.stride, 1) && all(c.padding, 0);
}

std::unique_ptr<Op> make_pointwise(Device& device, const Convolution& c) {
  return std::make_unique<PointwiseConvolution>(device, c);
}

}  // namespace lockstep::ops
