// SwiGLU against its formula in double and central differences of it, on every instruction set.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ops/isas.h"
#include "ops/numbers.h"
#include "ops/reference.h"
#include "ops/sliced.h"

namespace lockstep::ops {
namespace {

Doubles exact(const Doubles& x, std::int64_t width) {
  Doubles y;
  for (std::size_t row = 0; row < x.size(); row += 2 * width) {
    for (std::int64_t i = 0; i < width; ++i) {
      const double gate = x[row + i];
      y.push_back(gate / (1 + std::exp(-gate)) * x[row + width + i]);
    }
  }
  return y;
}

TEST(SwiGlu, follows_its_formula_and_its_central_differences) {
  for (std::int64_t rows : {1, 3}) {
    for (std::int64_t width : {1, 7, 15, 16, 17, 31, 32, 33, 101}) {
      const Floats x = uniform(rows * 2 * width, 1, -6, 6), dy = uniform(rows * width, 2);
      const Doubles y = exact(widen(x), width);
      const Doubles dx = central_differences(
          [=](const Doubles& at) { return exact(at, width); }, widen(x), dy);
      const auto op = make(cpu_device(), SwiGlu{rows, width});
      on_every_isa([&](Isa) {
        SCOPED_TRACE(fmt::format("{} x {}", rows, width));
        OpRun run(*op, {x}, {}, y.size());
        expect_close(run.forward(), y, 3e-7, "y");
        run.backward(dy);
        expect_close(run.d_input(0), dx, 1e-6, "dx");
      });
    }
  }
}

TEST(SwiGlu, has_limits_and_lets_nan_through) {
  const auto op = make(cpu_device(), SwiGlu{1, 4});
  on_every_isa([&](Isa) {
    OpRun run(*op, {{100, -100, NAN, 1, 3, 3, 1, NAN}}, {}, 4);
    const Floats y = run.forward();
    EXPECT_EQ(y[0], 300);
    EXPECT_NEAR(y[1], 0, 1e-30);
    EXPECT_TRUE(std::isnan(y[2]) && std::isnan(y[3]));
    run.backward({1, 1, 1, 1});
    const Floats dx = run.d_input(0);
    EXPECT_NEAR(dx[0], 3, 1e-6);
    EXPECT_NEAR(dx[1], 0, 1e-30);
    EXPECT_EQ(dx[4], 100);
    EXPECT_TRUE(std::isnan(dx[2]) && std::isnan(dx[3]) && std::isnan(dx[6]));
  });
}

TEST(SwiGlu, has_the_same_bits_for_every_number_of_slices) {
  const std::int64_t samples = 6, rows = samples * 31, width = 257;
  const auto op = make(cpu_device(), SwiGlu{rows, width, samples});
  const SlicedCase c{.inputs = {uniform(rows * 2 * width, 1)},
                     .parameters = {},
                     .d_output = uniform(rows * width, 3)};
  on_every_isa([&](Isa) { expect_slices_agree(*op, c, samples); });
}

}  // namespace
}  // namespace lockstep::ops
