// Batch norm, plain and fused with relu and a residual, against a double reference and its central
// differences, on every instruction set.
#include <gtest/gtest.h>

#include <algorithm>

#include "lockstep/core/error.h"
#include "ops/isas.h"
#include "ops/numbers.h"
#include "ops/reference.h"
#include "ops/run_op.h"

namespace lockstep::ops {
namespace {

constexpr double kEpsilon = 1e-5f;

struct Statistics {
  Doubles mean, variance;  // biased
};

Statistics statistics(const Doubles& x, std::int64_t rows, std::int64_t channels) {
  Statistics s{Doubles(channels), Doubles(channels)};
  for (std::int64_t i = 0; i < rows * channels; ++i) s.mean[i % channels] += x[i] / rows;
  for (std::int64_t i = 0; i < rows * channels; ++i) {
    const double d = x[i] - s.mean[i % channels];
    s.variance[i % channels] += d * d / rows;
  }
  return s;
}

Doubles normalised(const Doubles& x, const Statistics& s, const Doubles& gain, const Doubles& bias,
                   const Doubles& residual, bool relu) {
  Doubles y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % gain.size();
    y[i] = (x[i] - s.mean[c]) / std::sqrt(s.variance[c] + kEpsilon) * gain[c] + bias[c];
    if (!residual.empty()) y[i] += residual[i];
    if (relu) y[i] = std::max(y[i], 0.0);
  }
  return y;
}

// The textbook backward (Ioffe & Szegedy 2015, section 3).
struct Gradients {
  Doubles dx, d_gain, d_bias, d_residual;
};
Gradients gradients(const Doubles& x, const Doubles& gain, const Doubles& y, const Floats& dy,
                    bool relu) {
  const auto channels = static_cast<std::int64_t>(gain.size());
  const auto rows = static_cast<std::int64_t>(x.size()) / channels;
  const Statistics s = statistics(x, rows, channels);
  Gradients g{Doubles(x.size()), Doubles(channels), Doubles(channels), Doubles(x.size())};
  const auto hat = [&](std::size_t i) {
    const std::size_t c = i % channels;
    return (x[i] - s.mean[c]) / std::sqrt(s.variance[c] + kEpsilon);
  };
  for (std::size_t i = 0; i < x.size(); ++i) {
    g.d_residual[i] = relu && y[i] <= 0 ? 0 : dy[i];
    g.d_bias[i % channels] += g.d_residual[i];
    g.d_gain[i % channels] += g.d_residual[i] * hat(i);
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    g.dx[i] = gain[c] / std::sqrt(s.variance[c] + kEpsilon) *
              (g.d_residual[i] - g.d_bias[c] / rows - hat(i) * g.d_gain[c] / rows);
  }
  return g;
}

struct Case {
  std::int64_t rows, channels;
  bool relu, residual;
  std::string text() const {
    return fmt::format("{} x {}{}{}", rows, channels, relu ? " relu" : "",
                       residual ? " residual" : "");
  }
};

std::unique_ptr<Op> make_op(const Case& c) {
  return make(cpu_device(), BatchNorm{.rows = c.rows,
                                      .channels = c.channels,
                                      .activation = c.relu ? Activation::kRelu : Activation::kNone,
                                      .residual = c.residual});
}

struct Inputs {
  Floats x, gain, bias, residual, dy;
  explicit Inputs(const Case& c, double low = -2, double high = 3)
      : x(uniform(c.rows * c.channels, 1, low, high)),
        gain(uniform(c.channels, 2, 0.5, 1.5)),
        bias(uniform(c.channels, 3)),
        residual(c.residual ? uniform(c.rows * c.channels, 4) : Floats{}),
        dy(uniform(c.rows * c.channels, 5)) {}
  std::vector<Floats> tensors() const {
    return residual.empty() ? std::vector<Floats>{x} : std::vector<Floats>{x, residual};
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (std::int64_t rows : {2, 7, 31, 32, 33, 127, 257, 1000}) {
    for (std::int64_t channels : {1, 3, 7, 8, 15, 16, 17, 31, 32, 33, 48, 64, 80, 112}) {
      for (int fused = 0; fused < 4; ++fused) {
        all.push_back({rows, channels, fused % 2 == 1, fused >= 2});
      }
    }
  }
  all.push_back({16, 1000, true, false});
  all.push_back({7, 1023, true, true});
  all.push_back({40, 1023, true, false});
  return all;
}

TEST(BatchNorm, forward_and_backward_follow_the_double_reference) {
  for (const Case& c : cases()) {
    const Inputs in(c);
    const Doubles x = widen(in.x), gain = widen(in.gain);
    const Statistics s = statistics(x, c.rows, c.channels);
    const Doubles y = normalised(x, s, gain, widen(in.bias), widen(in.residual), c.relu);
    const Gradients g = gradients(x, gain, y, in.dy, c.relu);
    Doubles unbiased = s.variance;
    for (double& v : unbiased) v *= double(c.rows) / double(c.rows - 1);
    const auto op = make_op(c);
    on_every_isa([&](Isa) {
      SCOPED_TRACE(c.text());
      OpRun run(*op, in.tensors(), {in.gain, in.bias}, in.x.size());
      run.with_statistics(Floats(c.channels), Floats(c.channels));
      expect_close(run.forward(), y, 1e-6, "y");
      expect_close(run.lane_statistics(0), s.mean, 1e-7, "mean");
      expect_close(run.lane_statistics(1), unbiased, 1e-6, "variance");
      run.backward(in.dy);
      // Two rows of a channel: dx is a difference of nearly equal numbers over the deviation.
      expect_close(run.d_input(0), g.dx, c.rows == 2 ? 2e-5 : 2e-6, "dx");
      expect_close(run.d_parameter(0), g.d_gain, 1e-6, "d gain");
      expect_close(run.d_parameter(1), g.d_bias, 1e-6, "d bias");
      if (c.residual) expect_close(run.d_input(1), g.d_residual, 0, "d residual");
    });
  }
}

TEST(BatchNorm, gradients_are_the_central_differences_of_the_reference) {
  for (const Case& c : {Case{7, 3, false, false}, Case{33, 16, true, false},
                        Case{31, 17, true, true}, Case{32, 1, false, true}}) {
    SCOPED_TRACE(c.text());
    const Inputs in(c);
    const Doubles x = widen(in.x), gain = widen(in.gain), bias = widen(in.bias);
    const Doubles residual = widen(in.residual);
    const auto f = [&](const Doubles& at_x, const Doubles& at_gain, const Doubles& at_bias,
                       const Doubles& at_residual) {
      return normalised(at_x, statistics(at_x, c.rows, c.channels), at_gain, at_bias, at_residual,
                        c.relu);
    };
    const auto op = make_op(c);
    OpRun run(*op, in.tensors(), {in.gain, in.bias}, in.x.size());
    run.forward();
    run.backward(in.dy);
    const auto check = [&](const Floats& got, const Doubles& at, auto g, const char* what) {
      expect_close(got, central_differences(g, at, in.dy), 1e-5, what);
    };
    check(
        run.d_input(0), x, [&](const Doubles& v) { return f(v, gain, bias, residual); }, "dx");
    check(
        run.d_parameter(0), gain, [&](const Doubles& v) { return f(x, v, bias, residual); },
        "d gain");
    check(
        run.d_parameter(1), bias, [&](const Doubles& v) { return f(x, gain, v, residual); },
        "d bias");
    if (c.residual) {
      check(
          run.d_input(1), residual, [&](const Doubles& v) { return f(x, gain, bias, v); }, "dr");
    }
  }
}

TEST(BatchNorm, stays_accurate_where_the_mean_is_far_greater_than_the_deviation) {
  for (const Case& c : {Case{4096, 16, true, false}, Case{1000, 3, false, false}}) {
    SCOPED_TRACE(c.text());
    const double half = std::sqrt(3.0);  // deviation 1
    const Inputs in(c, 1e4 - half, 1e4 + half);
    const Doubles x = widen(in.x), gain = widen(in.gain);
    const Statistics s = statistics(x, c.rows, c.channels);
    const Doubles y = normalised(x, s, gain, widen(in.bias), {}, c.relu);
    const Gradients g = gradients(x, gain, y, in.dy, c.relu);
    const auto op = make_op(c);
    on_every_isa([&](Isa) {
      OpRun run(*op, in.tensors(), {in.gain, in.bias}, in.x.size());
      run.with_statistics(Floats(c.channels), Floats(c.channels));
      expect_close(run.forward(), y, 1e-6, "y");
      Doubles unbiased = s.variance;
      for (double& v : unbiased) v *= double(c.rows) / double(c.rows - 1);
      expect_close(run.lane_statistics(1), unbiased, 1e-6, "variance");
      run.backward(in.dy);
      expect_close(run.d_input(0), g.dx, 2e-6, "dx");
      expect_close(run.d_parameter(0), g.d_gain, 1e-6, "d gain");
    });
  }
}

TEST(BatchNorm, evaluation_uses_the_running_statistics) {
  for (const Case& c :
       {Case{7, 3, true, true}, Case{33, 16, false, false}, Case{1, 33, true, false}}) {
    const Inputs in(c);
    const Floats mean = uniform(c.channels, 6), variance = uniform(c.channels, 7, 0.1, 4);
    const Doubles y = normalised(widen(in.x), {widen(mean), widen(variance)}, widen(in.gain),
                                 widen(in.bias), widen(in.residual), c.relu);
    const auto op = make_op(c);
    on_every_isa([&](Isa) {
      SCOPED_TRACE(c.text());
      OpRun run(*op, in.tensors(), {in.gain, in.bias}, in.x.size());
      run.with_statistics(mean, variance);
      expect_close(run.forward(Mode::kEvaluate), y, 1e-6, "y");
    });
  }
}

TEST(BatchNorm, leaves_out_gradients_that_nobody_needs) {
  const Case c{33, 16, true, true};
  const Inputs in(c);
  const auto op = make_op(c);
  OpRun all(*op, in.tensors(), {in.gain, in.bias}, in.x.size());
  all.forward();
  all.backward(in.dy);
  for (const auto& wanted : {std::vector{true, false}, std::vector{false, true}}) {
    OpRun run(*op, in.tensors(), {in.gain, in.bias}, in.x.size());
    run.forward();
    run.backward(in.dy, wanted);
    for (int i : {0, 1}) {
      if (wanted[i]) {
        EXPECT_EQ(run.d_input(i), all.d_input(i));
      } else {
        EXPECT_TRUE(std::isnan(run.d_input(i)[0]));
      }
    }
    EXPECT_EQ(run.d_parameter(0), all.d_parameter(0));
  }
}

TEST(BatchNorm, lets_nan_through) {
  const Case c{33, 16, true, false};
  Inputs in(c);
  in.x[100] = NAN;
  const auto op = make_op(c);
  on_every_isa([&](Isa) {
    OpRun run(*op, in.tensors(), {in.gain, in.bias}, in.x.size());
    EXPECT_TRUE(std::isnan(run.forward()[100]));
    EXPECT_TRUE(std::isnan(run.forward()[100 % 16]));  // its channel
    EXPECT_FALSE(std::isnan(run.forward()[100 % 16 + 1]));
  });
}

// relu's gradient at 0 is 0, as PyTorch's: a constant channel without bias sits exactly there.
TEST(BatchNorm, relu_passes_no_gradient_at_zero) {
  for (const bool residual : {false, true}) {
    const Case c{33, 16, true, residual};
    Inputs in(c);
    in.x.assign(in.x.size(), 0.75f);
    in.bias.assign(in.bias.size(), 0.0f);
    in.residual.assign(in.residual.size(), 0.0f);
    const auto op = make_op(c);
    on_every_isa([&](Isa) {
      OpRun run(*op, in.tensors(), {in.gain, in.bias}, in.x.size());
      EXPECT_EQ(run.forward(), Floats(in.x.size(), 0.0f));
      run.backward(in.dy);
      EXPECT_EQ(run.d_parameter(1), Floats(c.channels, 0.0f));
      EXPECT_EQ(run.d_input(0), Floats(in.x.size(), 0.0f));
    });
  }
}

TEST(BatchNorm, avx2_and_avx512_give_the_same_bits) {
  if (detected_isa() != Isa::kAvx512) return;  // one of the two is all there is to compare
  for (const Case& c : {Case{257, 17, true, true}, Case{1000, 64, true, false}}) {
    const Inputs in(c);
    const auto op = make_op(c);
    std::vector<Floats> results[2];
    for (const bool wide : {false, true}) {
      const UseIsa use(wide ? Isa::kAvx512 : Isa::kAvx2);
      OpRun run(*op, in.tensors(), {in.gain, in.bias}, in.x.size());
      results[wide].push_back(run.forward());
      run.backward(in.dy);
      for (int i : {0, 1}) results[wide].push_back(run.d_parameter(i));
      results[wide].push_back(run.d_input(0));
    }
    EXPECT_EQ(results[0], results[1]) << c.text();
  }
}

TEST(BatchNorm, refuses_a_single_value_in_training) {
  const Case c{1, 16, false, false};
  const Inputs in(c);
  const auto op = make_op(c);
  OpRun run(*op, in.tensors(), {in.gain, in.bias}, in.x.size());
  EXPECT_THROW(run.forward(), UserError);
}

}  // namespace
}  // namespace lockstep::ops
