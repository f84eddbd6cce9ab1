// Runs one op as a program would: memory of its own on 64-byte lines, poisoned with NaN where the
// op must write first; and numbers to feed it.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "lockstep/core/philox.h"
#include "lockstep/ops/op.h"

namespace lockstep::ops {

using Values = std::vector<float>;

// n numbers in (-1, 1) that depend on the stream and the place only.
inline Values random_values(std::int64_t n, std::uint64_t stream) {
  Values x(n);
  const RandomKey key{.seed = stream, .step = 7};
  for (std::int64_t i = 0; i < n; ++i)
    x[i] = static_cast<float>(2 * unit_interval(key.word(i)) - 1);
  return x;
}

// Activations in double, from their definitions (GELU: Hendrycks and Gimpel 2016).
inline double activated(Activation a, double x) {
  switch (a) {
    case Activation::kRelu: return std::max(x, 0.0);
    case Activation::kGelu: return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kSilu: return x / (1 + std::exp(-x));
    default: return x;
  }
}

// Memory that starts `shift` bytes after a page, so that alignment is chosen, not met by chance.
// What lies around it must be untouched in the end.
class Lines {
 public:
  explicit Lines(std::size_t bytes, std::size_t shift = 0)
      : memory_(bytes + 3 * 4096, kUntouched), bytes_(bytes) {
    const auto at = reinterpret_cast<std::uintptr_t>(memory_.data());
    begin_ = (at + 4095) / 4096 * 4096 - at + shift;
    std::memset(data(), 0xFF, bytes);  // NaN as floats
  }
  Lines(const Values& values, std::size_t shift) : Lines(values.size() * sizeof(float), shift) {
    if (!values.empty()) std::memcpy(data(), values.data(), values.size() * sizeof(float));
  }
  ~Lines() {
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      const bool inside = i >= begin_ && i < begin_ + bytes_;
      if (!inside && memory_[i] != kUntouched) {
        ADD_FAILURE() << "byte " << static_cast<std::ptrdiff_t>(i - begin_) << " of " << bytes_
                      << " was written";
        return;
      }
    }
  }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  void* data() const { return const_cast<std::byte*>(memory_.data()) + begin_; }
  float* floats() const { return static_cast<float*>(data()); }
  Values values() const { return {floats(), floats() + bytes_ / sizeof(float)}; }

 private:
  static constexpr std::byte kUntouched{0xA5};
  std::vector<std::byte> memory_;
  std::size_t bytes_, begin_;
};

struct Gradients {
  Values output, d_input, d_residual;
  std::vector<Values> d_parameters;
  bool operator==(const Gradients& o) const {
    const auto same = [](const Values& a, const Values& b) {
      return a.size() == b.size() &&
             (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
    };
    bool equal = same(output, o.output) && same(d_input, o.d_input) &&
                 same(d_residual, o.d_residual) &&
                 d_parameters.size() == o.d_parameters.size();
    for (std::size_t i = 0; equal && i < d_parameters.size(); ++i) {
      equal = same(d_parameters[i], o.d_parameters[i]);
    }
    return equal;
  }
};

struct OpCase {
  Values input, d_output;
  std::vector<Values> parameters;
  bool want_d_input = true;
  Values residual;  // the second input; empty: none
  RandomKey random;
};

// Forward and backward. shift: bytes by which every tensor is moved off a page's start.
inline Gradients run(const Op& op, const OpCase& c, std::size_t shift = 0) {
  const Lines input(c.input, shift), d_output(c.d_output, shift);
  const Lines output(c.d_output.size() * sizeof(float), shift);
  const Lines d_input(c.want_d_input ? c.input.size() * sizeof(float) : 0, shift);
  std::vector<std::unique_ptr<Lines>> held;
  std::vector<const float*> parameters;
  std::vector<float*> d_parameters;
  for (const Values& p : c.parameters) {
    held.push_back(std::make_unique<Lines>(p, shift));
    parameters.push_back(held.back()->floats());
    held.push_back(std::make_unique<Lines>(p.size() * sizeof(float), shift));
    d_parameters.push_back(held.back()->floats());
  }
  const Lines saved(op.saved_bytes()), workspace(op.workspace_bytes()), packed(op.packed_bytes());
  op.pack(parameters.data(), packed.data(), nullptr);

  const Lines residual(c.residual, shift), d_residual(c.residual.size() * sizeof(float), shift);
  const float* inputs[] = {input.floats(), residual.floats()};
  float* d_inputs[] = {c.want_d_input ? d_input.floats() : nullptr, d_residual.floats()};
  const auto stream = cpu_device().make_stream();
  Args args;
  args.inputs = inputs;
  args.output = output.floats();
  args.parameters = parameters.data();
  args.saved = saved.data();
  args.workspace = workspace.data();
  args.packed = packed.data();
  args.random = c.random;
  args.stream = stream.get();
  op.forward(args);
  std::memset(workspace.data(), 0xFF, op.workspace_bytes());
  args.d_output = d_output.floats();
  args.d_inputs = d_inputs;
  args.d_parameters = d_parameters.data();
  if (!op.backward_needs_inputs()) args.inputs = nullptr;
  if (!op.backward_needs_output()) args.output = nullptr;
  op.backward(args);

  Gradients g{output.values(), d_input.values(), d_residual.values(), {}};
  for (std::size_t i = 0; i < c.parameters.size(); ++i)
    g.d_parameters.push_back(held[2 * i + 1]->values());
  return g;
}

// Rounding of a sum of `terms` products whose absolute values add up to `magnitude`.
inline double tolerance(double magnitude, std::int64_t terms) {
  constexpr double kUnit = 0x1p-24;
  return 4 * kUnit * std::sqrt(static_cast<double>(terms)) * magnitude + 1e-30;
}

// Gradients against (L(x + h) - L(x - h)) / 2h, with L = sum of output * d_output in double, for
// ops that are linear in each number: h is large and a power of two, so that only rounding is left.
inline void expect_slopes(const Op& op, const OpCase& c) {
  constexpr float kStep = 0x1p-4f;
  const Gradients g = run(op, c);
  const auto loss = [&](const OpCase& at) {
    const Gradients moved = run(op, at);
    double sum = 0;
    for (std::size_t i = 0; i < moved.output.size(); ++i) {
      sum += static_cast<double>(moved.output[i]) * c.d_output[i];
    }
    return sum;
  };
  const auto check = [&](auto numbers_of, const Values& gradient) {
    for (std::size_t i = 0; i < gradient.size(); i += 3) {
      OpCase up = c, down = c;
      numbers_of(up)[i] += kStep;
      numbers_of(down)[i] -= kStep;
      EXPECT_NEAR((loss(up) - loss(down)) / (2 * kStep), gradient[i], 1e-4) << i;
    }
  };
  check([](OpCase& at) -> Values& { return at.input; }, g.d_input);
  for (std::size_t p = 0; p < c.parameters.size(); ++p) {
    check([p](OpCase& at) -> Values& { return at.parameters[p]; }, g.d_parameters[p]);
  }
}

}  // namespace lockstep::ops
