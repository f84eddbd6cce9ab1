// Convolution against loops in double: 1 to 3 dimensions, groups, stride, padding, dilation.
#include <gtest/gtest.h>

#include <array>
#include <bit>

#include "lockstep/core/error.h"
#include "lockstep/ops/precision.h"
#include "ops/children.h"
#include "ops/dense_support.h"
#include "ops/sliced.h"

namespace lockstep::ops {
namespace {

Convolution conv(Shape input, std::int64_t out, std::vector<std::int64_t> kernel,
                 std::int64_t stride, std::int64_t padding, std::int64_t dilation = 1,
                 std::int64_t groups = 1) {
  const auto rank = kernel.size();
  return {input,
          out,
          std::move(kernel),
          std::vector(rank, stride),
          std::vector(rank, padding),
          std::vector(rank, dilation),
          groups};
}

std::vector<Convolution> cases() {
  std::vector<Convolution> all = {
      conv({1, 1, 1}, 1, {1}, 1, 0),
      conv({2, 31, 3}, 7, {3}, 1, 1),
      conv({3, 33, 7}, 33, {5}, 2, 2),
      conv({1, 1023, 2}, 5, {7}, 3, 3),
      conv({2, 5, 1000}, 31, {3}, 1, 1),
      conv({2, 32, 8}, 8, {3}, 1, 1, 1, 8),
      conv({2, 7, 5, 1}, 6, {5, 3}, 1, 2),
      conv({2, 32, 32, 3}, 16, {3, 3}, 1, 1),
      conv({2, 13, 11, 16}, 32, {3, 3}, 2, 1),
      conv({3, 8, 8, 64}, 64, {3, 3}, 1, 1),
      conv({2, 9, 7, 31}, 33, {3, 3}, 1, 1),
      conv({2, 9, 7, 32}, 31, {1, 1}, 2, 0),
      conv({1, 14, 14, 16}, 16, {3, 3}, 1, 2, 2),
      conv({2, 10, 10, 6}, 9, {3, 3}, 1, 1, 1, 3),
      conv({2, 10, 10, 32}, 32, {3, 3}, 1, 1, 1, 4),
      conv({2, 10, 9, 32}, 32, {3, 3}, 1, 1, 1, 32),
      conv({2, 10, 9, 7}, 7, {3, 3}, 2, 1, 1, 7),
      conv({2, 10, 9, 8}, 16, {3, 3}, 1, 1, 1, 8),
      conv({2, 6, 6, 13}, 1, {6, 6}, 1, 0),
      conv({1, 5, 7, 6, 1}, 8, {3, 3, 3}, 1, 1),
      conv({2, 4, 5, 6, 16}, 31, {3, 2, 1}, 1, 1),
      conv({1, 6, 6, 6, 6}, 9, {3, 3, 3}, 2, 1, 1, 3),
      conv({1, 7, 5, 6, 7}, 7, {3, 3, 3}, 1, 2, 2, 7),
  };
  Convolution uneven = conv({2, 9, 12, 5}, 7, {3, 5}, 1, 0);  // all lists differ by dimension
  uneven.stride = {1, 2};
  uneven.padding = {0, 3};
  uneven.dilation = {3, 1};
  all.push_back(uneven);
  return all;
}

// The same convolution with three spatial dimensions, for one naive loop.
struct Naive {
  std::array<std::int64_t, 3> in{1, 1, 1}, out{1, 1, 1}, k{1, 1, 1}, stride{1, 1, 1}, pad{0, 0, 0},
      dilation{1, 1, 1};
  std::int64_t n, ci, co, groups;
  explicit Naive(const Convolution& c)
      : n(c.input[0]), ci(c.input[-1]), co(c.out_channels), groups(c.groups) {
    const Shape y = output_shape(c);
    const int rank = static_cast<int>(c.kernel.size());
    for (int i = 0; i < rank; ++i) {
      const int d = 3 - rank + i;
      in[d] = c.input[i + 1], out[d] = y[i + 1], k[d] = c.kernel[i], stride[d] = c.stride[i];
      pad[d] = c.padding[i], dilation[d] = c.dilation[i];
    }
  }
  std::int64_t kernel_elements() const { return k[0] * k[1] * k[2]; }

  // Calls f(x element, y element, w element) for each product of the convolution.
  template <class F>
  void each(F f) const {
    const std::int64_t gi = ci / groups, go = co / groups;
    std::array<std::int64_t, 3> o, t, i;
    for (std::int64_t b = 0; b < n; ++b)
      for (o[0] = 0; o[0] < out[0]; ++o[0])
        for (o[1] = 0; o[1] < out[1]; ++o[1])
          for (o[2] = 0; o[2] < out[2]; ++o[2])
            for (t[0] = 0; t[0] < k[0]; ++t[0])
              for (t[1] = 0; t[1] < k[1]; ++t[1])
                for (t[2] = 0; t[2] < k[2]; ++t[2]) {
                  bool inside = true;
                  for (int d = 0; d < 3; ++d) {
                    i[d] = o[d] * stride[d] - pad[d] + t[d] * dilation[d];
                    inside = inside && i[d] >= 0 && i[d] < in[d];
                  }
                  if (!inside) continue;
                  const std::int64_t xe = (((b * in[0] + i[0]) * in[1] + i[1]) * in[2] + i[2]) * ci;
                  const std::int64_t ye =
                      (((b * out[0] + o[0]) * out[1] + o[1]) * out[2] + o[2]) * co;
                  const std::int64_t te = (t[0] * k[1] + t[1]) * k[2] + t[2];
                  for (std::int64_t c = 0; c < co; ++c)
                    for (std::int64_t j = 0; j < gi; ++j)
                      f(xe + c / go * gi + j, ye + c, (c * gi + j) * kernel_elements() + te);
                }
  }
};

OpCase case_of(const Convolution& c) {
  std::int64_t w = c.out_channels * (c.input[-1] / c.groups);
  for (const std::int64_t k : c.kernel) w *= k;
  OpCase made{random_values(c.input.elements(), 1),
              random_values(output_shape(c).elements(), 2),
              {random_values(w, 3)}};
  if (c.bias) made.parameters.push_back(random_values(c.out_channels, 4));
  return made;
}

using Doubles = std::vector<double>;
void expect_close(const Values& got, const Doubles& want, const Doubles& magnitude,
                  std::int64_t terms, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::abs(got[i] - want[i]) <= tolerance(magnitude[i], terms))
        << what << "[" << i << "]: " << got[i] << " is not " << want[i];
  }
}

Values rounded_to_bf16(Values values) {
  for (float& v : values) {
    auto bits = std::bit_cast<std::uint32_t>(v);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
    v = std::bit_cast<float>(bits);
  }
  return values;
}

void check(const Convolution& c) {
  SCOPED_TRACE(testing::Message() << c.input.text() << " -> " << c.out_channels << ", groups "
                                  << c.groups);
  const OpCase made = case_of(c);
  const auto op = make(cpu_device(), c);
  for (const std::string& name : op->implementations()) {
    EXPECT_EQ(name.find("ref"), std::string::npos) << name;
  }
  const Gradients got = run(*op, made);
  const Naive naive(c);
  const bool rounds = c.precision == Precision::kBf16 && bf16_pays(cpu_device(), c);
  const auto factor = [=](const Values& v) { return rounds ? rounded_to_bf16(v) : v; };
  const Values x = factor(made.input), w = factor(made.parameters[0]);
  const std::int64_t terms = naive.ci / naive.groups * naive.kernel_elements() + 1;

  Doubles y(got.output.size()), y_magnitude(y.size());
  if (c.bias) {
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = made.parameters[1][i % naive.co];
      y_magnitude[i] = std::abs(y[i]);
    }
  }
  naive.each([&](auto xe, auto ye, auto we) {
    y[ye] += static_cast<double>(x[xe]) * w[we];
    y_magnitude[ye] += std::abs(static_cast<double>(x[xe]) * w[we]);
  });
  Values dy = made.d_output;
  if (c.activation == Activation::kRelu) {
    for (double& v : y) v = std::max(v, 0.0);
    for (std::size_t i = 0; i < dy.size(); ++i) dy[i] = got.output[i] > 0 ? dy[i] : 0;
  }
  expect_close(got.output, y, y_magnitude, terms, "y");

  const Values unrounded = dy;
  dy = factor(dy);
  Doubles dx(x.size()), dx_magnitude(x.size()), dw(w.size()), dw_magnitude(w.size());
  naive.each([&](auto xe, auto ye, auto we) {
    const double to_x = static_cast<double>(dy[ye]) * w[we],
                 to_w = static_cast<double>(dy[ye]) * x[xe];
    dx[xe] += to_x, dx_magnitude[xe] += std::abs(to_x);
    dw[we] += to_w, dw_magnitude[we] += std::abs(to_w);
  });
  if (c.need_d_input) {
    expect_close(got.d_input, dx, dx_magnitude, naive.co / naive.groups * naive.kernel_elements(),
                 "dx");
  }
  const std::int64_t rows = static_cast<std::int64_t>(dy.size()) / naive.co;
  expect_close(got.d_parameters[0], dw, dw_magnitude, rows, "dW");
  if (c.bias) {
    Doubles db(naive.co), db_magnitude(naive.co);
    for (std::size_t i = 0; i < dy.size(); ++i) {
      db[i % naive.co] += unrounded[i], db_magnitude[i % naive.co] += std::abs(unrounded[i]);
    }
    expect_close(got.d_parameters[1], db, db_magnitude, 32, "db");
  }
}

TEST(Convolution, matches_double_loops_in_every_form) {
  for (Convolution c : cases()) {
    check(c);
    c.bias = false;
    c.activation = Activation::kRelu;
    check(c);
  }
}

// Channels around whole vectors and blocks, positions around whole blocks and sets.
TEST(Convolution, direct_kernels_match_double_loops_around_their_blocks) {
  constexpr std::array<std::int64_t, 8> kChannels = {1, 3, 4, 16, 17, 32, 48, 64};
  for (const std::int64_t in : kChannels) {
    for (const std::int64_t out : kChannels) {
      Convolution c = conv({1, 1 + (in * 7 + out) % 33, in}, out, {3}, 1 + (in + out) % 2, 1);
      c.bias = (in + out) % 3 == 0;
      check(c);
    }
  }
  for (const std::int64_t size : {1, 7, 31, 33}) {
    for (const std::int64_t stride : {1, 2}) {
      check(conv({2, size, size, 4}, 17, {3, 3}, stride, 1));
      check(conv({1, 3, size, 16}, 32, {3, 3}, stride, 1));
      check(conv({1, 7, size, 33}, 3, {1, 1}, stride, 0));
      check(conv({1, 3, size, 5, 3}, 16, {3, 3, 3}, stride, 1));
      check(conv({1, 2, 3, size, 17}, 64, {2, 3, 3}, stride, 1));
    }
    if (size > 1) check(conv({2, size, size, 3}, 33, {3, 3}, 1, 2));
    if (size > 1) check(conv({2, size, size, 16}, 16, {3, 3}, 2, 2));
  }
  check(conv({2, 7, 4, 4, 31}, 64, {3, 3, 3}, 1, 1));   // narrow rows
  check(conv({2, 6, 4, 128}, 128, {3, 3}, 1, 1));       // chunks of channels
  check(conv({1, 7, 9, 33, 4}, 20, {3, 3, 3}, 1, 1));   // sets of planes and of rows
  check(conv({1, 3, 31, 33, 3}, 5, {3, 3, 3}, 2, 1));
}

TEST(Convolution, bf16_rounds_both_factors_and_sums_in_fp32) {
  std::vector<Convolution> all = {
      conv({2, 33, 4}, 17, {3}, 1, 1),          conv({2, 7, 31, 5}, 16, {3, 3}, 1, 1),
      conv({3, 8, 8, 64}, 48, {3, 3}, 1, 1),    conv({2, 9, 1, 17}, 33, {3, 3}, 1, 1),
      conv({1, 12, 33, 16}, 32, {3, 3}, 1, 0),  conv({2, 6, 7, 20}, 8, {3, 3}, 1, 2),
      conv({2, 5, 13, 32}, 31, {1, 1}, 1, 0),   conv({1, 7, 9, 33, 4}, 20, {3, 3, 3}, 1, 1),
      conv({2, 4, 4, 4, 31}, 64, {3, 3, 3}, 1, 1), conv({2, 6, 4, 128}, 128, {3, 3}, 1, 1)};
  int paying = 0;
  for (Convolution& c : all) {
    c.precision = Precision::kBf16;
    paying += bf16_pays(cpu_device(), c) ? 1 : 0;
    check(c);
    c.bias = false;
    c.activation = Activation::kRelu;
    check(c);
  }
  EXPECT_EQ(paying, has_bf16_arithmetic() ? static_cast<int>(all.size()) : 0);
  Convolution first = conv({2, 9, 9, 3}, 16, {3, 3}, 1, 1);  // few channels: fp32
  first.precision = Precision::kBf16;
  EXPECT_FALSE(bf16_pays(cpu_device(), first));
  check(first);
}

TEST(Convolution, has_the_same_bits_for_every_number_of_slices) {
  struct Cut {
    Convolution convolution;
    std::int64_t slices;
  };
  std::vector<Cut> cuts = {{conv({12, 31, 33, 3}, 17, {3, 3}, 1, 1), 12},
                           {conv({12, 8, 8, 16}, 32, {3, 3}, 2, 1), 1},
                           {conv({12, 16, 16, 16}, 48, {3, 3}, 1, 1), 6},
                           {conv({4, 7, 8, 9, 5}, 32, {3, 3, 3}, 1, 1), 4}};
  for (Cut& cut : cuts) {
    for (const auto activation : {Activation::kNone, Activation::kRelu}) {
      cut.convolution.activation = activation;
      SCOPED_TRACE(cut.convolution.input.text());
      const OpCase made = case_of(cut.convolution);
      if (isa() != Isa::kAvx512) continue;  // oneDNN's parts
      for (const auto precision : {Precision::kFp32, Precision::kBf16}) {
        cut.convolution.precision = precision;
        const auto op = make(cpu_device(), cut.convolution);
        expect_slices_agree(*op, {{made.input}, made.parameters, made.d_output, {}, {}},
                            cut.slices);
      }
    }
  }
}

TEST(Convolution, fuses_relu_with_bias) {
  Convolution c = conv({3, 9, 8, 5}, 33, {3, 3}, 1, 1);
  c.activation = Activation::kRelu;
  check(c);
}

TEST(Convolution, leaves_out_the_data_gradient_of_a_first_layer) {
  Convolution c = conv({2, 9, 8, 3}, 16, {3, 3}, 1, 1);
  OpCase made = case_of(c);
  const Gradients whole = run(*make(cpu_device(), c), made);
  c.need_d_input = false;
  made.want_d_input = false;
  EXPECT_EQ(run(*make(cpu_device(), c), made).d_parameters, whole.d_parameters);
}

TEST(Convolution, gradients_match_finite_differences) {
  const Convolution c = conv({2, 6, 5, 3}, 4, {3, 3}, 2, 1);
  expect_slopes(*make(cpu_device(), c), case_of(c));
}

TEST(Convolution, shows_a_nan_of_its_input_behind_relu) {
  Convolution c = conv({1, 8, 8, 3}, 16, {3, 3}, 1, 1);
  c.activation = Activation::kRelu;
  OpCase made = case_of(c);
  made.input[0] = std::numeric_limits<float>::quiet_NaN();
  const Gradients g = run(*make(cpu_device(), c), made);
  EXPECT_TRUE(std::isnan(g.output[0]));
  EXPECT_TRUE(std::isfinite(g.output.back()));
}

TEST(Convolution, refuses_what_does_not_fit) {
  EXPECT_THROW(output_shape(conv({1, 4, 4, 3}, 8, {5, 5}, 1, 0)), UserError);
  EXPECT_THROW(output_shape(conv({1, 4, 4, 3}, 8, {3, 3}, 0, 0)), UserError);
  EXPECT_THROW(output_shape(conv({1, 4, 4, 6}, 8, {3, 3}, 1, 1, 1, 4)), UserError);
  EXPECT_THROW(output_shape(conv({1, 4, 4, 6}, 8, {3}, 1, 1)), UserError);
  EXPECT_THROW(output_shape(conv({1, 6}, 8, {}, 1, 1)), UserError);
  EXPECT_EQ(output_shape(conv({5, 28, 28, 1}, 6, {5, 5}, 1, 2)), (Shape{5, 28, 28, 6}));
}

TEST(Convolution, is_right_on_every_instruction_set) {
  expect_to_pass_when_capped("Convolution.is_right_on_every_instruction_set");
}

}  // namespace
}  // namespace lockstep::ops
