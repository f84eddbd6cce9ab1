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
  OpCase c;
  c.input = random_values(s.rows * s.in, 1);
  c.d_output = random_values(s.rows * s.out, 2);
  c.parameters = {random_values(s.out * s.in, 3)};
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
  const auto &x = c.input, &dy = c.d_output;
  const auto& p = c.parameters;
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

double slope(Activation a, double x) {
  constexpr double kStep = 1e-5;
  return (activated(a, x + kStep) - activated(a, x - kStep)) / (2 * kStep);
}

// y = dropout(act(x W^T + b)) + residual and its gradients in double; z from the op itself would
// hide a wrong product, so all is computed here.
void check_options(const Linear& d) {
  SCOPED_TRACE(testing::Message() << name_of(d.activation) << (d.residual ? ", residual" : "")
                                  << ", dropout " << d.dropout << ", " << d.rows << " x " << d.in
                                  << " -> " << d.out << (d.bias ? ", bias" : ""));
  OpCase c = case_of({d.rows, d.in, d.out}, d.bias);
  if (d.residual) c.residual = random_values(d.rows * d.out, 8);
  c.random = {.seed = 5, .step = 9, .lane_micro = 1, .op = 4};
  const Gradients got = run(*make(cpu_device(), d), c);
  std::vector<double> dz(d.rows * d.out), dw(d.out * d.in), db(d.out), dx(d.rows * d.in);
  const double scale = 1 / (1 - double{d.dropout});
  for (std::int64_t e = 0; e < d.rows * d.out; ++e) {
    const std::int64_t r = e / d.out, o = e % d.out;
    double z = d.bias ? c.parameters[1][o] : 0;
    for (std::int64_t i = 0; i < d.in; ++i) {
      z += double{c.input[r * d.in + i]} * c.parameters[0][o * d.in + i];
    }
    const bool kept = c.random.word(e) >= std::ceil(double{d.dropout} * 0x1p32);
    const double factor = d.dropout == 0 ? 1 : kept ? scale : 0;
    const double y = activated(d.activation, z) * factor + (d.residual ? c.residual[e] : 0);
    ASSERT_NEAR(got.output[e], y, 1e-5) << "y " << e;
    dz[e] = c.d_output[e] * factor * slope(d.activation, z);
    db[o] += dz[e];
    for (std::int64_t i = 0; i < d.in; ++i) {
      dw[o * d.in + i] += dz[e] * c.input[r * d.in + i];
      dx[r * d.in + i] += dz[e] * c.parameters[0][o * d.in + i];
    }
  }
  const double bound = 1e-5 * std::sqrt(static_cast<double>(std::max(d.rows, d.out)));
  for (std::size_t i = 0; i < dw.size(); ++i) {
    ASSERT_NEAR(got.d_parameters[0][i], dw[i], bound) << "dW " << i;
  }
  for (std::size_t i = 0; i < dx.size(); ++i) {
    ASSERT_NEAR(got.d_input[i], dx[i], bound) << "dx " << i;
  }
  for (std::size_t i = 0; d.bias && i < db.size(); ++i) {
    ASSERT_NEAR(got.d_parameters[1][i], db[i], bound) << "db " << i;
  }
  EXPECT_EQ(got.d_residual, d.residual ? c.d_output : Values());
}

TEST(Linear, fuses_activation_dropout_and_residual) {
  for (const Size& s : {Size{1, 7, 31}, Size{33, 31, 49}, Size{40, 5, 131}, Size{300, 6, 3}}) {
    for (const Activation a : {Activation::kNone, Activation::kRelu, Activation::kGelu,
                               Activation::kGeluTanh, Activation::kSilu}) {
      for (const float dropout : {0.0f, 0.25f}) {
        for (const bool residual : {false, true}) {
          check_options({.rows = s.rows, .in = s.in, .out = s.out, .bias = residual || s.in != 5,
                         .activation = a, .residual = residual, .dropout = dropout});
        }
      }
    }
  }
}

TEST(Linear, evaluates_without_dropout_and_saves_nothing) {
  Linear d{.rows = 9, .in = 33, .out = 17, .activation = Activation::kGelu};
  const OpCase c = case_of({9, 33, 17}, true);
  const Gradients want = run(*make(cpu_device(), d), c);
  d.dropout = 0.5f;
  const auto op = make(cpu_device(), d);
  const Lines packed(op->packed_bytes()), workspace(op->workspace_bytes());
  const float* parameters[] = {c.parameters[0].data(), c.parameters[1].data()};
  op->pack(parameters, packed.data(), nullptr);
  Values y(c.d_output.size(), NAN);
  const float* inputs[] = {c.input.data()};
  Args args;
  args.inputs = inputs;
  args.output = y.data();
  args.parameters = parameters;
  args.workspace = workspace.data();
  args.packed = packed.data();
  args.mode = Mode::kEvaluate;
  op->forward(args);
  EXPECT_EQ(y, want.output);
}

// Rows where W is packed for the data gradient once a step, and where each call packs it.
TEST(Linear, gives_a_row_the_same_gradient_among_few_and_many) {
  const Size many{600, 65, 33}, few{32, 65, 33};
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const OpCase all = case_of(many, false);
    OpCase part = all;
    part.input.resize(few.rows * few.in);
    part.d_output.resize(few.rows * few.out);
    Linear d{.rows = many.rows, .in = many.in, .out = many.out, .bias = false};
    d.precision = precision;
    const Values whole = run(*make(cpu_device(), d), all).d_input;
    d.rows = few.rows;
    const Values some = run(*make(cpu_device(), d), part).d_input;
    EXPECT_EQ(some, Values(whole.begin(), whole.begin() + few.rows * few.in));
  }
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
