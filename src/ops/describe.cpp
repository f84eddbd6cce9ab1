// What the descriptions of op.h say about themselves: names and output shapes.
#include <array>

#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"

namespace lockstep::ops {
namespace {

constexpr std::array<std::string_view, 8> kActivationNames = {
    "none", "relu", "leaky_relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid"};
constexpr std::array<std::string_view, 2> kPrecisionNames = {"fp32", "bf16"};

void check_window(std::string_view what, const Shape& input,
                  const std::vector<std::int64_t>& kernel, const std::vector<std::int64_t>& stride,
                  const std::vector<std::int64_t>& padding) {
  const int rank = input.rank() - 2;
  if (rank < 1 || rank > 3) {
    throw UserError("{} needs input with 1 to 3 spatial dimensions and channels, not {} a sample",
                    what, input.rank() > 0 ? input.drop_first().text() : input.text());
  }
  for (const auto* list : {&kernel, &stride, &padding}) {
    if (static_cast<int>(list->size()) != rank) {
      throw UserError("{} on {} has {} numbers for kernel, stride or padding; give one, or {}",
                      what, input.drop_first().text(), list->size(), rank);
    }
  }
  for (int i = 0; i < rank; ++i) {
    if (kernel[i] < 1 || stride[i] < 1 || padding[i] < 0) {
      throw UserError(
          "{}: kernel {}, stride {}, padding {}; kernel and stride start at 1, padding at 0", what,
          kernel[i], stride[i], padding[i]);
    }
  }
}

// Extents of the output without channels; reach: extent of the kernel with its dilation.
Shape slide(std::string_view what, const Shape& input, const std::vector<std::int64_t>& reach,
            const std::vector<std::int64_t>& stride, const std::vector<std::int64_t>& padding) {
  Shape out{input[0]};
  for (std::size_t i = 0; i < reach.size(); ++i) {
    const std::int64_t room = input[static_cast<int>(i) + 1] + 2 * padding[i] - reach[i];
    if (room < 0) {
      throw UserError(
          "{}: a kernel that reaches over {} does not fit into {} with padding {}; use a smaller "
          "kernel or more padding",
          what, reach[i], input.drop_first().text(), padding[i]);
    }
    out = out.append(room / stride[i] + 1);
  }
  return out;
}

}  // namespace

Activation activation_from(std::string_view name) {
  for (std::size_t i = 0; i < kActivationNames.size(); ++i) {
    if (kActivationNames[i] == name) return static_cast<Activation>(i);
  }
  throw UserError(
      "'{}' is not an activation; use relu, leaky_relu, gelu, gelu_tanh, silu, tanh, sigmoid or "
      "none",
      name);
}

std::string_view name_of(Activation activation) {
  return kActivationNames[static_cast<std::size_t>(activation)];
}

Precision precision_from(std::string_view name) {
  for (std::size_t i = 0; i < kPrecisionNames.size(); ++i) {
    if (kPrecisionNames[i] == name) return static_cast<Precision>(i);
  }
  throw UserError("'{}' is not a precision; use fp32 or bf16", name);
}

std::string_view name_of(Precision precision) {
  return kPrecisionNames[static_cast<std::size_t>(precision)];
}

Shape output_shape(const Convolution& c) {
  check_window("convolution", c.input, c.kernel, c.stride, c.padding);
  std::vector<std::int64_t> reach;
  for (std::size_t i = 0; i < c.kernel.size(); ++i) {
    const std::int64_t dilation = i < c.dilation.size() ? c.dilation[i] : 0;
    if (dilation < 1 || c.dilation.size() != c.kernel.size()) {
      throw UserError("convolution: dilation needs {} numbers that start at 1", c.kernel.size());
    }
    reach.push_back(dilation * (c.kernel[i] - 1) + 1);
  }
  if (c.groups < 1 || c.out_channels < 1 || c.input[-1] % c.groups != 0 ||
      c.out_channels % c.groups != 0) {
    throw UserError(
        "convolution: {} groups do not divide {} input and {} output channels; use a divisor of "
        "both",
        c.groups, c.input[-1], c.out_channels);
  }
  return slide("convolution", c.input, reach, c.stride, c.padding).append(c.out_channels);
}

Shape output_shape(const Pool& p) {
  check_window("pool", p.input, p.kernel, p.stride, p.padding);
  for (std::size_t i = 0; i < p.kernel.size(); ++i) {
    if (p.padding[i] >= p.kernel[i]) {
      throw UserError(
          "pool: padding {} with kernel {} makes windows of nothing but padding; use less",
          p.padding[i], p.kernel[i]);
    }
  }
  return slide("pool", p.input, p.kernel, p.stride, p.padding).append(p.input[-1]);
}

}  // namespace lockstep::ops
