// Runs an op on plain vectors: what a program does with planned memory, with traps. Outputs start
// as NaN and end in a guard; workspace and saved memory start as NaN.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "lockstep/ops/op.h"

namespace lockstep::ops {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

class OpRun {
 public:
  static constexpr float kGuard = 12345.0f;

  OpRun(const Op& op, std::vector<Floats> inputs, std::vector<Floats> parameters,
        std::size_t outputs)
      : op_(op), inputs_(std::move(inputs)), parameters_(std::move(parameters)) {
    output_ = fresh(outputs);
    for (const Floats& x : inputs_) d_inputs_.push_back(fresh(x.size()));
    for (const Floats& p : parameters_) d_parameters_.push_back(fresh(p.size()));
    saved_.assign(op.saved_bytes() / 8 + 1, NAN);
  }

  // Batch norm's running statistics and leaves, [channels] each.
  void with_statistics(Floats mean, Floats variance) {
    for (std::size_t i = 0; i < 2; ++i) lane_statistics_.push_back(fresh(mean.size()));
    statistics_ = {std::move(mean), std::move(variance)};
  }

  RandomKey random;

  const Floats& forward(Mode mode = Mode::kTrain) {
    Args args = common();
    args.mode = mode;
    op_.forward(args);
    expect_guard(output_);
    for (const Floats& s : lane_statistics_) expect_guard(s);
    result_ = trimmed(output_);
    return result_;
  }

  // wanted[i] false: nobody needs d_inputs[i].
  void backward(const Floats& d_output, const std::vector<bool>& wanted = {}) {
    Args args = common();
    const std::vector<float*> d_parameters = pointers(d_parameters_);
    std::vector<float*> d_inputs = pointers(d_inputs_);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (!wanted[i]) d_inputs[i] = nullptr;
    }
    const std::vector<const float*> unread(inputs_.size(), nullptr);
    if (!op_.backward_needs_inputs()) args.inputs = unread.data();
    if (!op_.backward_needs_output()) args.output = nullptr;
    args.d_output = d_output.data();
    args.d_inputs = d_inputs.data();
    args.d_parameters = d_parameters.data();
    op_.backward(args);
    for (const Floats& d : d_inputs_) expect_guard(d);
    for (const Floats& d : d_parameters_) expect_guard(d);
  }

  Floats d_input(int i) const { return trimmed(d_inputs_[i]); }
  Floats d_parameter(int i) const { return trimmed(d_parameters_[i]); }
  Floats lane_statistics(int i) const { return trimmed(lane_statistics_[i]); }

 private:
  static Floats fresh(std::size_t n) {
    Floats x(n + 16, kGuard);
    std::fill(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n), NAN);
    return x;
  }
  static Floats trimmed(const Floats& x) { return {x.begin(), x.end() - 16}; }
  static void expect_guard(const Floats& x) {
    for (std::size_t i = x.size() - 16; i < x.size(); ++i)
      ASSERT_EQ(x[i], kGuard) << "past the end";
  }
  static std::vector<float*> pointers(std::vector<Floats>& all) {
    std::vector<float*> p;
    for (Floats& x : all) p.push_back(x.data());
    return p;
  }

  Args common() {
    const auto constant = [](std::vector<Floats>& all) {
      const auto p = pointers(all);
      return std::vector<const float*>(p.begin(), p.end());
    };
    workspace_.assign(op_.workspace_bytes() / 8 + 1, NAN);
    input_pointers_ = constant(inputs_);
    parameter_pointers_ = constant(parameters_);
    statistic_pointers_ = constant(statistics_);
    lane_pointers_ = pointers(lane_statistics_);
    Args args;
    args.inputs = input_pointers_.data();
    args.output = output_.data();
    args.parameters = parameter_pointers_.data();
    args.statistics = statistic_pointers_.data();
    args.lane_statistics = lane_statistics_.empty() ? nullptr : lane_pointers_.data();
    args.saved = saved_.data();
    args.workspace = workspace_.data();
    args.random = random;
    return args;
  }

  const Op& op_;
  std::vector<Floats> inputs_, parameters_, statistics_, lane_statistics_;
  Floats output_, result_;
  std::vector<Floats> d_inputs_, d_parameters_;
  Doubles saved_, workspace_;
  std::vector<const float*> input_pointers_, parameter_pointers_, statistic_pointers_;
  std::vector<float*> lane_pointers_;
};

}  // namespace lockstep::ops
