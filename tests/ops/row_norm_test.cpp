// Layer norm and RMS norm against a double reference and its central differences, on every
// instruction set.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ops/isas.h"
#include "ops/numbers.h"
#include "ops/reference.h"
#include "ops/sliced.h"

namespace lockstep::ops {
namespace {

constexpr double kEpsilon = 1e-3f;

// Gives x^ and 1 / deviation of each row.
Doubles hats(const Doubles& x, std::int64_t channels, bool layer, Doubles* rstd = nullptr) {
  Doubles hat(x.size());
  for (std::size_t begin = 0; begin < x.size(); begin += channels) {
    double mean = 0, squares = 0;
    for (std::int64_t i = 0; layer && i < channels; ++i) mean += x[begin + i] / channels;
    for (std::int64_t i = 0; i < channels; ++i) {
      squares += (x[begin + i] - mean) * (x[begin + i] - mean) / channels;
    }
    const double inverse = 1 / std::sqrt(squares + kEpsilon);
    for (std::int64_t i = 0; i < channels; ++i) hat[begin + i] = (x[begin + i] - mean) * inverse;
    if (rstd != nullptr) rstd->push_back(inverse);
  }
  return hat;
}

Doubles normalised(const Doubles& x, const Doubles& gain, const Doubles& bias, bool layer) {
  Doubles y = hats(x, static_cast<std::int64_t>(gain.size()), layer);
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = y[i] * gain[i % gain.size()] + (layer ? bias[i % gain.size()] : 0);
  }
  return y;
}

struct Gradients {
  Doubles dx, d_gain, d_bias;
};
Gradients gradients(const Doubles& x, const Doubles& gain, const Floats& dy, bool layer) {
  const std::size_t channels = gain.size();
  Doubles rstd;
  const Doubles hat = hats(x, static_cast<std::int64_t>(channels), layer, &rstd);
  Gradients g{Doubles(x.size()), Doubles(channels), Doubles(channels)};
  for (std::size_t row = 0; row < rstd.size(); ++row) {
    double mean_g = 0, mean_gx = 0;
    for (std::size_t c = 0; c < channels; ++c) {
      const std::size_t i = row * channels + c;
      g.d_gain[c] += dy[i] * hat[i];
      g.d_bias[c] += dy[i];
      if (layer) mean_g += dy[i] * gain[c] / channels;
      mean_gx += dy[i] * gain[c] * hat[i] / channels;
    }
    for (std::size_t c = 0; c < channels; ++c) {
      const std::size_t i = row * channels + c;
      g.dx[i] = rstd[row] * (dy[i] * gain[c] - mean_g - hat[i] * mean_gx);
    }
  }
  return g;
}

std::unique_ptr<Op> make_op(std::int64_t rows, std::int64_t channels, bool layer,
                            std::int64_t samples = 1) {
  if (layer) return make(cpu_device(), LayerNorm{rows, channels, float(kEpsilon), samples});
  return make(cpu_device(), RmsNorm{rows, channels, float(kEpsilon), samples});
}

void compare(std::int64_t rows, std::int64_t channels, bool layer, double low, double high) {
  SCOPED_TRACE(fmt::format("{} x {} {}", rows, channels, layer ? "layer" : "rms"));
  const Floats x = uniform(rows * channels, 1, low, high), dy = uniform(rows * channels, 2);
  const Floats gain = uniform(channels, 3, 0.5, 1.5), bias = uniform(channels, 4);
  const Doubles y = normalised(widen(x), widen(gain), widen(bias), layer);
  const Gradients g = gradients(widen(x), widen(gain), dy, layer);
  const auto op = make_op(rows, channels, layer);
  on_every_isa([&](Isa) {
    OpRun run(*op, {x}, layer ? std::vector<Floats>{gain, bias} : std::vector<Floats>{gain},
              x.size());
    expect_close(run.forward(), y, 1e-6, "y");
    run.backward(dy);
    expect_close(run.d_input(0), g.dx, 1e-6, "dx");
    expect_close(run.d_parameter(0), g.d_gain, 1e-6, "d gain");
    if (layer) expect_close(run.d_parameter(1), g.d_bias, 1e-6, "d bias");
    OpRun first(*op, {x}, layer ? std::vector<Floats>{gain, bias} : std::vector<Floats>{gain},
                x.size());
    first.forward();
    first.backward(dy, {false});  // the first layer's
    EXPECT_TRUE(std::isnan(first.d_input(0)[0]));
    EXPECT_EQ(first.d_parameter(0), run.d_parameter(0));
  });
}

TEST(RowNorm, follows_the_double_reference) {
  for (const bool layer : {true, false}) {
    for (std::int64_t rows : {1, 7, 31, 32, 33, 65}) {
      for (std::int64_t channels : kEdgeSizes) compare(rows, channels, layer, -2, 3);
    }
  }
}

TEST(LayerNorm, stays_accurate_where_the_mean_is_far_greater_than_the_deviation) {
  for (std::int64_t channels : {16, 1000, 1023}) {
    compare(7, channels, true, 1e4 - std::sqrt(3.0), 1e4 + std::sqrt(3.0));
  }
}

TEST(RowNorm, gradients_are_the_central_differences_of_the_reference) {
  for (const bool layer : {true, false}) {
    for (std::int64_t channels : {1, 16, 33}) {
      const std::int64_t rows = 7;
      const Floats x = uniform(rows * channels, 1), dy = uniform(rows * channels, 2);
      const Floats gain = uniform(channels, 3, 0.5, 1.5), bias = uniform(channels, 4);
      const Doubles wide_x = widen(x), wide_gain = widen(gain), wide_bias = widen(bias);
      const auto op = make_op(rows, channels, layer);
      OpRun run(*op, {x}, layer ? std::vector<Floats>{gain, bias} : std::vector<Floats>{gain},
                x.size());
      run.forward();
      run.backward(dy);
      const auto check = [&](const Floats& got, const Doubles& at, auto f, const char* what) {
        expect_close(got, central_differences(f, at, dy), 1e-5, what);
      };
      check(
          run.d_input(0), wide_x,
          [&](const Doubles& v) { return normalised(v, wide_gain, wide_bias, layer); }, "dx");
      check(
          run.d_parameter(0), wide_gain,
          [&](const Doubles& v) { return normalised(wide_x, v, wide_bias, layer); }, "d gain");
      if (layer) {
        check(
            run.d_parameter(1), wide_bias,
            [&](const Doubles& v) { return normalised(wide_x, wide_gain, v, layer); }, "d bias");
      }
    }
  }
}

// Rows of a slice that end inside a band of the sums and inside a group of rows.
TEST(RowNorm, has_the_same_bits_for_every_number_of_slices_and_adds_where_it_is_asked_to) {
  const std::int64_t samples = 6, rows = samples * 67, channels = 257;
  for (const bool layer : {true, false}) {
    const auto op = make_op(rows, channels, layer, samples);
    EXPECT_TRUE(op->accumulates());
    SlicedCase c{.inputs = {uniform(rows * channels, 1)},
                 .parameters = {uniform(channels, 2)},
                 .d_output = uniform(rows * channels, 3)};
    if (layer) c.parameters.push_back(uniform(channels, 4));
    on_every_isa([&](Isa) {
      expect_slices_agree(*op, c, samples);
      SlicedCase added = c;
      added.start = uniform(rows * channels, 5);
      expect_slices_agree(*op, added, samples);
      const SlicedResult plain = run_sliced(*op, c, 0), sum = run_sliced(*op, added, 0);
      for (std::size_t i = 0; i < added.start.size(); ++i) {
        ASSERT_EQ(sum.d_inputs[0][i], added.start[i] + plain.d_inputs[0][i]);
      }
      EXPECT_EQ(sum.d_parameters, plain.d_parameters);
    });
  }
}

TEST(RowNorm, shows_a_nan_in_its_row_alone) {
  for (const bool layer : {true, false}) {
    const auto op = make_op(7, 33, layer);
    Floats x = uniform(7 * 33, 1);
    x[2 * 33 + 32] = NAN;
    on_every_isa([&](Isa) {
      const std::vector<Floats> parameters(layer ? 2 : 1, Floats(33, 1.0f));
      OpRun run(*op, {x}, parameters, x.size());
      const Floats y = run.forward();
      run.backward(uniform(7 * 33, 2));
      const Floats dx = run.d_input(0);
      for (int i = 0; i < 7 * 33; ++i) {
        ASSERT_EQ(std::isnan(y[i]), i / 33 == 2) << i;
        ASSERT_EQ(std::isnan(dx[i]), i / 33 == 2) << i;
      }
      EXPECT_TRUE(std::isnan(run.d_parameter(0)[32]));
    });
  }
}

}  // namespace
}  // namespace lockstep::ops
