// Linear against loops in double: values and gradients over sizes at the edges.
#include <gtest/gtest.h>

#include "ops/children.h"
#include "ops/dense_support.h"

namespace lockstep::ops {
namespace {

struct Size {
  std::int64_t rows, in, out;
};
constexpr Size kSizes[] = {{1, 1, 1},     {7, 1, 31},    {31, 7, 1},     {32, 33, 31},
                           {33, 32, 7},   {1, 1000, 10}, {16, 1023, 64}, {128, 31, 33},
                           {67, 65, 129}, {1000, 3, 17}, {2049, 16, 48}};

OpCase case_of(const Size& s, bool bias) {
  OpCase c{random_values(s.rows * s.in, 1),
           random_values(s.rows * s.out, 2),
           {random_values(s.out * s.in, 3)}};
  if (bias) c.parameters.push_back(random_values(s.out, 4));
  return c;
}

// One value with the sum of the absolute values of its terms.
struct Sum {
  double value = 0, magnitude = 0;
  void add(double a, double b) {
    value += a * b;
    magnitude += std::abs(a * b);
  }
};

void expect_close(float got, const Sum& want, std::int64_t terms, const char* what) {
  EXPECT_TRUE(std::abs(got - want.value) <= tolerance(want.magnitude, terms))
      << what << ": " << got << " is not " << want.value;
}

// The mask of a fused relu is taken from the op's own output, whose values are checked first.
void check(const Size& s, bool bias, Activation activation) {
  SCOPED_TRACE(testing::Message() << s.rows << " x " << s.in << " -> " << s.out);
  const auto op = make(cpu_device(), Linear{s.rows, s.in, s.out, bias, activation});
  const OpCase c = case_of(s, bias);
  const Gradients got = run(*op, c);
  const auto& [x, dy, p, want] = c;
  const auto w = [&](std::int64_t o, std::int64_t i) { return p[0][o * s.in + i]; };
  Values masked = dy;

  for (std::int64_t r = 0; r < s.rows; ++r) {
    for (std::int64_t o = 0; o < s.out; ++o) {
      Sum y;
      for (std::int64_t i = 0; i < s.in; ++i) y.add(x[r * s.in + i], w(o, i));
      if (bias) y.add(p[1][o], 1);
      if (activation == Activation::kRelu) y.value = std::max(y.value, 0.0);
      expect_close(got.output[r * s.out + o], y, s.in + 1, "y");
      if (activation == Activation::kRelu && !(got.output[r * s.out + o] > 0))
        masked[r * s.out + o] = 0;
    }
  }
  for (std::int64_t r = 0; r < s.rows; ++r) {
    for (std::int64_t i = 0; i < s.in; ++i) {
      Sum dx;
      for (std::int64_t o = 0; o < s.out; ++o) dx.add(masked[r * s.out + o], w(o, i));
      expect_close(got.d_input[r * s.in + i], dx, s.out, "dx");
    }
  }
  for (std::int64_t o = 0; o < s.out; ++o) {
    for (std::int64_t i = 0; i < s.in; ++i) {
      Sum dw;
      for (std::int64_t r = 0; r < s.rows; ++r) dw.add(masked[r * s.out + o], x[r * s.in + i]);
      expect_close(got.d_parameters[0][o * s.in + i], dw, s.rows, "dW");
    }
    Sum db;
    for (std::int64_t r = 0; r < s.rows; ++r) db.add(masked[r * s.out + o], 1);
    if (bias) expect_close(got.d_parameters[1][o], db, 32, "db");
  }
}

TEST(Linear, matches_double_loops_over_edge_sizes) {
  for (const Size& s : kSizes) {
    check(s, true, Activation::kNone);
    check(s, true, Activation::kRelu);
    check(s, false, Activation::kNone);
    check(s, false, Activation::kRelu);
  }
}

TEST(Linear, gradients_match_finite_differences) {
  const Size s{7, 11, 5};
  expect_slopes(*make(cpu_device(), Linear{s.rows, s.in, s.out}), case_of(s, true));
}

TEST(Linear, leaves_out_the_data_gradient_of_a_first_layer) {
  const Size s{33, 31, 7};
  const auto op = make(cpu_device(), Linear{s.rows, s.in, s.out, true, Activation::kRelu, false});
  OpCase c = case_of(s, true);
  const Gradients whole =
      run(*make(cpu_device(), Linear{s.rows, s.in, s.out, true, Activation::kRelu}), c);
  c.want_d_input = false;
  const Gradients first = run(*op, c);
  EXPECT_EQ(first.d_parameters, whole.d_parameters);
  EXPECT_LT(op->cost().backward_flops, 2.0 * s.rows * s.in * s.out + 2 * s.rows * s.out);
}

TEST(Linear, shows_a_nan_of_its_input_behind_relu) {
  const auto op = make(cpu_device(), Linear{3, 8, 5, true, Activation::kRelu});
  OpCase c = case_of({3, 8, 5}, true);
  c.input[8] = std::numeric_limits<float>::quiet_NaN();  // row 1
  const Gradients g = run(*op, c);
  for (int o = 0; o < 5; ++o) {
    EXPECT_TRUE(std::isfinite(g.output[o]));
    EXPECT_TRUE(std::isnan(g.output[5 + o]));
    EXPECT_TRUE(std::isfinite(g.output[10 + o]));
    EXPECT_TRUE(std::isnan(g.d_parameters[0][o * 8]));
  }
}

TEST(Linear, counts_its_flops) {
  const Cost cost = make(cpu_device(), Linear{128, 784, 1024})->cost();
  EXPECT_EQ(cost.forward_flops, 2.0 * 128 * 784 * 1024 + 128 * 1024);
  EXPECT_EQ(cost.backward_flops, 4.0 * 128 * 784 * 1024 + 128 * 1024);
}

TEST(Linear, is_right_on_every_instruction_set) {
  expect_to_pass_when_capped("Linear.is_right_on_every_instruction_set");
}

}  // namespace
}  // namespace lockstep::ops
