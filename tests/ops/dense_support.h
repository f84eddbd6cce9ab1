// Runs one op as a program would: memory of its own on 64-byte lines, poisoned with NaN where the
// op must write first; and numbers to feed it.
#pragma once
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

// Memory that starts `shift` bytes after a page, so that alignment is chosen, not met by chance.
class Lines {
 public:
  explicit Lines(std::size_t bytes, std::size_t shift = 0) : memory_(bytes + 8192), bytes_(bytes) {
    const auto at = reinterpret_cast<std::uintptr_t>(memory_.data());
    begin_ = memory_.data() + ((at + 4095) / 4096 * 4096 - at) + shift;
    std::memset(begin_, 0xFF, bytes);  // NaN as floats
  }
  Lines(const Values& values, std::size_t shift) : Lines(values.size() * sizeof(float), shift) {
    if (!values.empty()) std::memcpy(begin_, values.data(), values.size() * sizeof(float));
  }
  float* floats() const { return reinterpret_cast<float*>(begin_); }
  void* data() const { return begin_; }
  Values values() const { return {floats(), floats() + bytes_ / sizeof(float)}; }

 private:
  std::vector<std::byte> memory_;
  std::size_t bytes_;
  std::byte* begin_;
};

struct Gradients {
  Values output, d_input;
  std::vector<Values> d_parameters;
  bool operator==(const Gradients& o) const {
    const auto same = [](const Values& a, const Values& b) {
      return a.size() == b.size() &&
             (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
    };
    bool equal = same(output, o.output) && same(d_input, o.d_input) &&
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
  op.pack(parameters.data(), packed.data());

  const float* inputs[] = {input.floats()};
  float* d_inputs[] = {c.want_d_input ? d_input.floats() : nullptr};
  const auto stream = cpu_device().make_stream();
  Args args;
  args.inputs = inputs;
  args.output = output.floats();
  args.parameters = parameters.data();
  args.saved = saved.data();
  args.workspace = workspace.data();
  args.packed = packed.data();
  args.stream = stream.get();
  op.forward(args);
  std::memset(workspace.data(), 0xFF, op.workspace_bytes());
  args.d_output = d_output.floats();
  args.d_inputs = d_inputs;
  args.d_parameters = d_parameters.data();
  if (!op.backward_needs_inputs()) args.inputs = nullptr;
  if (!op.backward_needs_output()) args.output = nullptr;
  op.backward(args);

  Gradients g{output.values(), d_input.values(), {}};
  for (std::size_t i = 0; i < c.parameters.size(); ++i)
    g.d_parameters.push_back(held[2 * i + 1]->values());
  return g;
}

// Rounding of a sum of `terms` products whose absolute values add up to `magnitude`.
inline double tolerance(double magnitude, std::int64_t terms) {
  constexpr double kUnit = 0x1p-24;
  return 4 * kUnit * std::sqrt(static_cast<double>(terms)) * magnitude + 1e-30;
}

}  // namespace lockstep::ops
