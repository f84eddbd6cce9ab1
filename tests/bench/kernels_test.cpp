// Kernels that are right pass their checks; one wrong element, anywhere, does not.
#include "bench/kernel.h"

#include <gtest/gtest.h>

#include <cmath>

#include "bench/op_memory.h"
#include "bench/rank_device.h"
#include "bench/reference.h"
#include "lockstep/core/isa.h"

namespace lockstep::bench {
namespace {

// An op whose results are spoilt by `damage` after a call.
class Damaged final : public ops::Op {
 public:
  using Damage = std::function<void(const ops::Args&, bool backward)>;
  Damaged(std::unique_ptr<ops::Op> op, Damage damage)
      : op_(std::move(op)), damage_(std::move(damage)) {}
  std::string_view kind() const override { return op_->kind(); }
  void forward(const ops::Args& args) const override {
    op_->forward(args);
    damage_(args, false);
  }
  void backward(const ops::Args& args) const override {
    op_->backward(args);
    damage_(args, true);
  }
  std::size_t saved_bytes() const override { return op_->saved_bytes(); }
  std::size_t workspace_bytes() const override { return op_->workspace_bytes(); }
  std::size_t packed_bytes() const override { return op_->packed_bytes(); }
  void pack(const float* const* parameters, void* packed, Stream* stream) const override {
    op_->pack(parameters, packed, stream);
  }
  ops::Cost cost() const override { return op_->cost(); }

 private:
  const std::unique_ptr<ops::Op> op_;
  const Damage damage_;
};

const ops::Linear kLinear{.rows = 33, .in = 65, .out = 17};
const ops::Convolution kConvolution{
    {2, 7, 9, 5}, 6, {3, 3}, {2, 1}, {1, 1}, {1, 1}, 1, false};

// What each kernel says, one behind the other.
std::vector<std::string> found(const std::vector<Kernel>& kernels) {
  std::vector<std::string> all;
  for (const Kernel& kernel : kernels) all.push_back(kernel.check());
  return all;
}

std::vector<std::string> of_linear(Damaged::Damage damage) {
  return found(linear_kernels(cpu_device(), kLinear,
                              std::make_unique<Damaged>(make(cpu_device(), kLinear), damage)));
}
std::vector<std::string> of_convolution(Damaged::Damage damage) {
  return found(
      convolution_kernels(cpu_device(), kConvolution,
                          std::make_unique<Damaged>(make(cpu_device(), kConvolution), damage)));
}

const std::vector<std::string> kRight{"", ""};

TEST(Kernels, a_linear_layer_passes) {
  EXPECT_EQ(of_linear([](const ops::Args&, bool) {}), kRight);
}

TEST(Kernels, one_wrong_element_of_a_product_is_noticed) {
  for (const std::int64_t at : {0, 100, 33 * 17 - 1}) {
    const auto output = of_linear([at](const ops::Args& args, bool backward) {
      if (!backward) args.output[at] += 0.01f;
    });
    EXPECT_NE(output[0].find("y r"), std::string::npos) << at;
    EXPECT_EQ(output[1], "");
    const auto gradient = of_linear([at](const ops::Args& args, bool backward) {
      if (backward) args.d_inputs[0][at] += 0.01f;
    });
    EXPECT_EQ(gradient[0], "");
    EXPECT_NE(gradient[1].find("dx s"), std::string::npos) << at;
  }
  const auto weights = of_linear([](const ops::Args& args, bool backward) {
    if (backward) args.d_parameters[0][17 * 65 - 1] -= 0.01f;
  });
  EXPECT_NE(weights[1].find("dW s"), std::string::npos);
  const auto bias = of_linear([](const ops::Args& args, bool backward) {
    if (backward) args.d_parameters[1][3] = NAN;
  });
  EXPECT_NE(bias[1].find("db[3] is nan"), std::string::npos);
}

TEST(Kernels, a_convolution_passes_and_one_wrong_element_is_noticed) {
  EXPECT_EQ(of_convolution([](const ops::Args&, bool) {}), kRight);
  const auto output = of_convolution([](const ops::Args& args, bool backward) {
    if (!backward) args.output[77] += 0.01f;
  });
  EXPECT_NE(output[0], "");
  const auto weights = of_convolution([](const ops::Args& args, bool backward) {
    if (backward) args.d_parameters[0][6 * 5 * 9 - 1] += 0.01f;
  });
  EXPECT_NE(weights[1].find("r dW"), std::string::npos);
  const auto input = of_convolution([](const ops::Args& args, bool backward) {
    if (backward) args.d_inputs[0][2 * 7 * 9 * 5 - 1] = NAN;
  });
  EXPECT_NE(input[1].find("dx s"), std::string::npos);
}

// The smallest subject of each group, and what it is made of.
TEST(Kernels, every_group_has_a_small_kernel_that_passes) {
  std::vector<Subject> subjects = product_subjects(cpu_device());
  for (auto& more : {attention_subjects(cpu_device()), row_subjects(), flat_subjects()})
    subjects.insert(subjects.end(), more.begin(), more.end());
  std::string group;
  int groups = 0;
  for (const Subject& subject : subjects) {
    if (subject.group == group) continue;
    group = subject.group;
    ++groups;
    for (const Kernel& kernel : subject.make(cpu_device())) {
      EXPECT_EQ(kernel.check(), "") << subject.group << " " << subject.name << " " << kernel.name;
      EXPECT_GT(kernel.bytes, 0) << subject.name;
    }
  }
  EXPECT_EQ(groups, 9);
}

TEST(Kernels, small_and_large_norms_losses_and_updates_pass) {
  for (const auto& subjects : {row_subjects(), flat_subjects()}) {
    for (const Subject& subject : subjects) {
      const bool large = subject.name.find("50257") != std::string::npos ||
                         subject.name.find("8192") != std::string::npos ||
                         subject.name.find("131072") != std::string::npos ||
                         subject.name.find("6291456") != std::string::npos ||
                         subject.name.find("4194304") != std::string::npos;
      if (large) continue;  // seconds each in double
      for (const Kernel& kernel : subject.make(cpu_device()))
        EXPECT_EQ(kernel.check(), "") << subject.group << " " << subject.name << " " << kernel.name;
    }
  }
}

TEST(Kernels, a_wrong_kernel_is_a_row_that_says_so) {
  const auto self = comm::make_self_communicator();
  const std::vector<Subject> subjects{{"gemm", "right", [](Device& device) {
                                         return linear_kernels(device, kLinear,
                                                               make(device, kLinear));
                                       }},
                                      {"gemm", "wrong", [](Device& device) {
                                         return linear_kernels(
                                             device, kLinear,
                                             std::make_unique<Damaged>(
                                                 make(device, kLinear),
                                                 [](const ops::Args& args, bool) {
                                                   args.output[5] = 1e3f;
                                                 }));
                                       }}};
  Request request;
  request.seconds = 1e-4;
  Results results;
  results.rows = measure_kernels(*self, cpu_device(), {1e9, 1e9, 1e10}, subjects, request);
  ASSERT_EQ(results.rows.size(), 4u);
  EXPECT_EQ(results.rows[0].verified, "ok");
  EXPECT_EQ(results.rows[0].name, "right, forward");
  EXPECT_NE(results.rows[2].verified.find("y r"), std::string::npos);
  EXPECT_FALSE(results.all_verified());
  // flop by the definition: 2 * 33 * 65 * 17 and the bias.
  const double flops = 2.0 * 33 * 65 * 17 + 33 * 17;
  EXPECT_NEAR(results.rows[0].figures[0].value * results.rows[0].time.median, flops, 1e-6 * flops);
  EXPECT_GT(results.rows[0].of_ceiling, 0);
}

TEST(Kernels, nan_never_passes) {
  EXPECT_NE(difference("x", Floats{NAN}, {1.0}, 1e9), "");
  EXPECT_NE(difference("x", Floats{1}, {NAN}, 1e9), "");
  EXPECT_EQ(difference("x", Floats{1}, {1.0}, 0), "");
  EXPECT_NE(difference("x", Floats{1}, {1.0, 2.0}, 1), "");
}

}  // namespace
}  // namespace lockstep::bench
