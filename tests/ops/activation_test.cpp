// Activations and the sum of two tensors against double formulas and their central differences, on
// every instruction set.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "lockstep/core/error.h"
#include "ops/isas.h"
#include "ops/numbers.h"
#include "ops/reference.h"
#include "ops/sliced.h"

namespace lockstep::ops {
namespace {

constexpr float kSlope = 0.2f;
constexpr Activation kAll[] = {Activation::kRelu,     Activation::kLeakyRelu, Activation::kGelu,
                               Activation::kGeluTanh, Activation::kSilu,      Activation::kTanh,
                               Activation::kSigmoid};

double exact(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kLeakyRelu:
      return x > 0 ? x : kSlope * x;
    case Activation::kGelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::kGeluTanh: {
      const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
      return 0.5 * x * (1 + std::tanh(u));
    }
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return NAN;
}

Doubles exact(Activation activation, const Doubles& x) {
  Doubles y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), [=](double v) { return exact(activation, v); });
  return y;
}

std::unique_ptr<Op> make_op(Activation activation, std::int64_t n) {
  return make(cpu_device(), Activate{n, activation, kSlope});
}

TEST(Activate, follows_the_double_formulas_and_their_central_differences) {
  for (Activation activation : kAll) {
    for (std::int64_t n : kEdgeSizes) {
      const Floats x = uniform(n, 1, -8, 8), dy = uniform(n, 2);
      const Doubles y = exact(activation, widen(x));
      Doubles dx(n);
      for (std::int64_t i = 0; i < n; ++i) {
        const double step = 1e-5;
        dx[i] =
            dy[i] * (exact(activation, x[i] + step) - exact(activation, x[i] - step)) / (2 * step);
      }
      const auto op = make_op(activation, n);
      on_every_isa([&](Isa) {
        SCOPED_TRACE(fmt::format("{} of {}", name_of(activation), n));
        OpRun run(*op, {x}, {}, x.size());
        expect_close(run.forward(), y, 2e-7, "y");
        run.backward(dy);
        expect_close(run.d_input(0), dx, 1e-6, "dx");
      });
    }
  }
}

double exact_slope(Activation activation, double x) {
  switch (activation) {
    case Activation::kGelu:
      return 0.5 * std::erfc(-x / std::sqrt(2.0)) +
             x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
    case Activation::kGeluTanh: {
      const double z = std::sqrt(8 / M_PI) * (x + 0.044715 * x * x * x);
      const double s = 1 / (1 + std::exp(-z));
      return s + x * s * (1 - s) * std::sqrt(8 / M_PI) * (1 + 3 * 0.044715 * x * x);
    }
    default: {  // silu
      const double s = 1 / (1 + std::exp(-x));
      return s + x * s * (1 - s);
    }
  }
}

// Measured, in units of 2^-24: values 0.92, 1.58 and 1.64, slopes 1.70, 3.23 and 2.97.
TEST(Activate, gates_are_within_a_few_roundings) {
  Floats x = uniform(200000, 1, -8, 8);
  for (float v : uniform(20000, 2, -40, 40)) x.push_back(v);
  const auto n = static_cast<std::int64_t>(x.size());
  const Floats dy(n, 1.0f);
  for (Activation activation : {Activation::kGelu, Activation::kGeluTanh, Activation::kSilu}) {
    const auto op = make_op(activation, n);
    on_every_isa([&](Isa) {
      OpRun run(*op, {x}, {}, n);
      const Floats y = run.forward();
      run.backward(dy);
      const Floats dx = run.d_input(0);
      double value = 0, slope = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const double want = exact(activation, x[i]);
        value = std::max(value, std::abs(y[i] - want) / (1 + std::abs(want)));
        slope = std::max(slope, std::abs(dx[i] - exact_slope(activation, x[i])));
      }
      const bool gelu = activation == Activation::kGelu;
      EXPECT_TRUE(value <= (gelu ? 1.0 : 1.8) * 0x1p-24) << value * 0x1p24;
      EXPECT_TRUE(slope <= (gelu ? 1.9 : 3.5) * 0x1p-24) << slope * 0x1p24;
    });
  }
}

TEST(Activate, has_limits_and_lets_nan_through) {
  on_every_isa([](Isa) {
    for (Activation activation : kAll) {
      const Floats x = {NAN, 40, -40, 1e4f, -1e4f, 1e12f, -1e12f}, dy(7, 1.0f);
      const auto op = make_op(activation, 7);
      OpRun run(*op, {x}, {}, x.size());
      const Floats y = run.forward();
      run.backward(dy);
      const Floats dx = run.d_input(0);
      EXPECT_TRUE(std::isnan(y[0])) << name_of(activation);
      for (int i = 1; i < 7; ++i) {
        const double expected = exact(activation, x[i]);
        EXPECT_NEAR(y[i], expected, 1e-6 * std::fabs(expected) + 1e-12)
            << name_of(activation) << x[i];
        const bool bounded = activation == Activation::kTanh || activation == Activation::kSigmoid;
        const double left = activation == Activation::kLeakyRelu ? kSlope : 0;
        EXPECT_NEAR(dx[i], x[i] > 0 ? (bounded ? 0 : 1) : left, 1e-6)
            << name_of(activation) << x[i];
      }
    }
  });
}

TEST(Activate, works_in_place_where_it_says_so) {
  for (Activation activation : kAll) {
    const auto op = make_op(activation, 33);
    const Floats x = uniform(33, 3), dy = uniform(33, 4);
    OpRun apart(*op, {x}, {}, x.size());
    const Floats y = apart.forward();
    apart.backward(dy);
    EXPECT_EQ(op->in_place(), op->backward_needs_output()) << name_of(activation);
    EXPECT_NE(op->backward_needs_inputs(), op->backward_needs_output());
    if (!op->in_place()) continue;
    Floats data = x, gradient = dy;
    const float* in = data.data();
    float* d_in = gradient.data();
    Args args;
    args.inputs = &in, args.output = data.data();
    op->forward(args);
    EXPECT_EQ(data, y);
    args.d_output = gradient.data(), args.d_inputs = &d_in;
    op->backward(args);
    EXPECT_EQ(gradient, apart.d_input(0));
  }
}

TEST(Activation, has_names) {
  for (Activation activation : kAll) EXPECT_EQ(activation_from(name_of(activation)), activation);
  EXPECT_EQ(activation_from("none"), Activation::kNone);
  EXPECT_EQ(activation_from("leaky_relu"), Activation::kLeakyRelu);
  EXPECT_THROW(activation_from("swish"), UserError);
  EXPECT_THROW(make(cpu_device(), Activate{4, Activation::kLeakyRelu, -1.0f}), UserError);
}

TEST(Add, adds_and_rectifies_and_gives_both_gradients) {
  for (const bool relu : {false, true}) {
    for (std::int64_t n : kEdgeSizes) {
      const Floats a = uniform(n, 5), b = uniform(n, 6), dy = uniform(n, 7);
      Floats y(n), dx(n);
      for (std::int64_t i = 0; i < n; ++i) {
        y[i] = relu ? std::max(a[i] + b[i], 0.0f) : a[i] + b[i];
        dx[i] = relu && y[i] <= 0 ? 0 : dy[i];
      }
      const auto op = make(cpu_device(), Add{n, relu ? Activation::kRelu : Activation::kNone});
      on_every_isa([&](Isa) {
        OpRun run(*op, {a, b}, {}, a.size());
        EXPECT_EQ(run.forward(), y);
        run.backward(dy);
        EXPECT_EQ(run.d_input(0), dx);
        EXPECT_EQ(run.d_input(1), dx);
        OpRun one(*op, {a, b}, {}, a.size());
        one.forward();
        one.backward(dy, {false, true});
        EXPECT_EQ(one.d_input(1), dx);

        Floats data = a, gradient = dy, other(n);
        const float* in[] = {data.data(), b.data()};
        float* d_in[] = {gradient.data(), other.data()};
        Args args;
        args.inputs = in, args.output = data.data();
        op->forward(args);
        EXPECT_EQ(data, y);
        args.d_output = gradient.data(), args.d_inputs = d_in;
        op->backward(args);
        EXPECT_EQ(gradient, dx);
        EXPECT_EQ(other, dx);
      });
    }
  }
}

TEST(Elementwise, has_the_same_bits_for_every_number_of_slices) {
  const std::int64_t samples = 6, n = samples * 16411;  // a prime: slices begin off the vectors
  SlicedCase c{.inputs = {uniform(n, 1, -4, 4)}, .parameters = {}, .d_output = uniform(n, 2)};
  for (Activation activation : kAll) {
    const auto op = make(cpu_device(), Activate{n, activation, kSlope, samples});
    on_every_isa([&](Isa) { expect_slices_agree(*op, c, samples); });
  }
  c.inputs.push_back(uniform(n, 3));
  for (Activation activation : {Activation::kNone, Activation::kRelu}) {
    const auto op = make(cpu_device(), Add{n, activation, samples});
    expect_slices_agree(*op, c, samples);
  }
}

}  // namespace
}  // namespace lockstep::ops
