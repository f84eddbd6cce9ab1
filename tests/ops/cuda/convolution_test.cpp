// Convolution on the cuda device against the cpu device.
#include <gtest/gtest.h>

#include "lockstep/core/error.h"
#include "lockstep/ops/algorithms.h"
#include "ops/cuda/on_device.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

Convolution convolution(Shape input, std::int64_t out, std::vector<std::int64_t> kernel) {
  Convolution c;
  const std::size_t n = kernel.size();
  c.input = input, c.out_channels = out, c.kernel = std::move(kernel);
  c.stride.assign(n, 1), c.padding.assign(n, 0), c.dilation.assign(n, 1);
  return c;
}

std::vector<Convolution> shapes() {
  std::vector<Convolution> all;
  all.push_back(convolution({2, 6, 5, 3}, 7, {3, 3}));
  all.back().padding = {1, 1}, all.back().activation = Activation::kRelu;
  all.push_back(convolution({2, 8, 7, 8}, 16, {3, 2}));  // channels that tiled engines take
  all.back().stride = {2, 1}, all.back().padding = {1, 0}, all.back().dilation = {1, 2};
  all.push_back(convolution({2, 5, 5, 6}, 9, {3, 3}));
  all.back().groups = 3, all.back().bias = false;
  all.push_back(convolution({1, 5, 4, 8}, 8, {3, 3}));  // depthwise
  all.back().groups = 8, all.back().padding = {1, 1};
  all.push_back(convolution({2, 4, 4, 8}, 24, {1, 1}));
  all.push_back(convolution({2, 4, 5, 8}, 24, {1, 1}));
  all.back().stride = {2, 2}, all.back().activation = Activation::kRelu;
  all.push_back(convolution({3, 11, 5}, 6, {4}));
  all.back().stride = {2}, all.back().padding = {2};
  all.push_back(convolution({2, 4, 3, 5, 3}, 4, {3, 1, 2}));
  all.back().padding = {1, 0, 1}, all.back().stride = {2, 1, 1};
  all.push_back(convolution({1, 3, 3, 3, 8}, 8, {2, 2, 2}));
  all.back().need_d_input = false;
  return shapes_to_try(all, {all[0], all[3]});
}

OpCase case_of(const Convolution& c) {
  OpCase k;
  std::int64_t weights = c.out_channels * c.input[-1] / c.groups;
  for (const std::int64_t n : c.kernel) weights *= n;
  k.inputs = {uniform(c.input.elements(), 1)};
  k.parameters = {uniform(weights, 2)};
  if (c.bias) k.parameters.push_back(uniform(c.out_channels, 3));
  k.outputs = output_shape(c).elements();
  k.d_output = uniform(static_cast<std::int64_t>(k.outputs), 4);
  k.wanted = {c.need_d_input};
  return k;
}

std::string text(const Convolution& c) { return c.input.text(); }

TEST(CudaConvolution, agrees_with_the_cpu) {
  for (const Convolution& c : shapes()) {
    OpCase k = case_of(c);
    expect_cuda_as_cpu(c, k, 2e-6, text(c));
    k.captured = true;
    expect_cuda_as_cpu(c, k, 2e-6, text(c) + " captured");
    k.captured = false, k.mode = Mode::kEvaluate, k.d_output.clear();
    expect_cuda_as_cpu(c, k, 2e-6, text(c) + " evaluated");
  }
}

float rounded(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
  std::memcpy(&x, &bits, sizeof bits);
  return x;
}

// The cpu in fp32 on rounded numbers. What cuDNN stores is rounded too: 2^-9 of it.
TEST(CudaConvolution, rounds_factors_and_results_in_bf16) {
  for (Convolution c : shapes()) {
    OpCase k = case_of(c);
    for (Floats* values : {&k.inputs[0], &k.parameters[0], &k.d_output})
      for (float& x : *values) x = rounded(x);
    const OpResult expected = run_on(cpu_device(), c, k);
    c.precision = Precision::kBf16;
    ASSERT_TRUE(bf16_pays(cuda_device(), c));
    expect_agree(run_on(cuda_device(), c, k), expected, 0x1p-8, text(c));
  }
}

TEST(CudaConvolution, takes_recorded_engines_and_refuses_those_of_others) {
  const Convolution c = convolution({2, 8, 7, 8}, 16, {3, 2});
  const std::string before = algorithms().to_text();
  algorithms().clear();
  make(cuda_device(), c);
  const std::string chosen = algorithms().to_text();
  algorithms().from_text(chosen);
  expect_cuda_as_cpu(c, case_of(c), 2e-6, "recorded");
  EXPECT_EQ(algorithms().to_text(), chosen);
  const auto expect_refused = [&](std::string text, const std::string& from, const std::string& to,
                                  const std::string& sentence) {
    ASSERT_NE(text.find(from), text.npos) << from << " in " << text;
    text.replace(text.find(from), from.size(), to);
    algorithms().from_text(text);
    try {
      make(cuda_device(), c);
      ADD_FAILURE() << "taken: " << text;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(sentence), std::string::npos) << error.what();
    }
  };
  expect_refused(chosen, " = 9", " = 8", "is of cuDNN 8");
  expect_refused(chosen, "engine ", "engine 7", "does not run on");
  algorithms().from_text(before);
}

}  // namespace
}  // namespace lockstep::ops
