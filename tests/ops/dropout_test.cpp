// Dropout draws exactly the numbers of core/philox.h, on every instruction set.
#include <gtest/gtest.h>

#include "lockstep/core/error.h"
#include "ops/isas.h"
#include "ops/numbers.h"
#include "ops/sliced.h"

namespace lockstep::ops {
namespace {

const RandomKey kKeys[] = {
    {.seed = 1, .step = 0, .lane_micro = 0, .op = 0},
    {.seed = 0xFEDCBA9876543210, .step = 0xABCDEF012345, .lane_micro = 0xC0FFEE, .op = 0xBEEF}};

TEST(Dropout, draws_the_numbers_of_the_random_key) {
  for (const RandomKey& key : kKeys) {
    for (const float rate : {0.0f, 0.1f, 0.5f, 0.9f}) {
      for (std::int64_t n : {1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000, 1023}) {
        const Floats x = uniform(n, 1), dy = uniform(n, 2);
        Floats factor(n);
        for (std::int64_t i = 0; i < n; ++i) {
          const bool kept = double(key.word(i)) >= double(rate) * 0x1p32;
          factor[i] = kept ? 1 / (1 - rate) : 0.0f;
        }
        const auto op = make(cpu_device(), Dropout{n, rate});
        on_every_isa([&](Isa) {
          OpRun run(*op, {x}, {}, x.size());
          run.random = key;
          const Floats y = run.forward();
          run.backward(dy);
          const Floats dx = run.d_input(0);
          for (std::int64_t i = 0; i < n; ++i) {
            ASSERT_EQ(y[i], x[i] * factor[i]) << i << " of " << n;
            ASSERT_EQ(dx[i], dy[i] * factor[i]) << i << " of " << n;
          }
        });
      }
    }
  }
}

TEST(Dropout, keeps_the_expected_share) {
  const std::int64_t n = 100000;
  const auto op = make(cpu_device(), Dropout{n, 0.3f});
  OpRun run(*op, {Floats(n, 1.0f)}, {}, n);
  double sum = 0;
  for (float y : run.forward()) sum += y;
  EXPECT_NEAR(sum / n, 1, 0.01);  // 5 deviations are 0.0104
}

TEST(Dropout, evaluation_copies) {
  const Floats x = uniform(33, 3);
  const auto op = make(cpu_device(), Dropout{33, 0.5f});
  OpRun run(*op, {x}, {}, x.size());
  EXPECT_EQ(run.forward(Mode::kEvaluate), x);
}

TEST(Dropout, does_not_hide_nan) {
  const auto op = make(cpu_device(), Dropout{1023, 0.5f});
  on_every_isa([&](Isa) {
    OpRun run(*op, {Floats(1023, NAN)}, {}, 1023);
    for (float y : run.forward()) ASSERT_TRUE(std::isnan(y));
  });
}

TEST(Dropout, has_the_same_bits_for_every_number_of_slices) {
  const std::int64_t samples = 6, n = samples * 64 * 257;
  const SlicedCase c{.inputs = {uniform(n, 1)},
                     .parameters = {},
                     .d_output = uniform(n, 2),
                     .random = kKeys[1]};
  const auto op = make(cpu_device(), Dropout{n, 0.3f, samples});
  on_every_isa([&](Isa) { expect_slices_agree(*op, c, samples); });
  // Slices begin where blocks of numbers do.
  EXPECT_EQ(make(cpu_device(), Dropout{6 * 32 * 1031, 0.3f, 6})->slices(), 3);
  EXPECT_EQ(make(cpu_device(), Dropout{6 * 16411, 0.3f, 6})->slices(), 1);
}

TEST(Dropout, refuses_rates_outside_0_to_1) {
  for (float rate : {-0.1f, 1.0f, float(NAN)}) {
    EXPECT_THROW(make(cpu_device(), Dropout{16, rate}), UserError);
  }
}

}  // namespace
}  // namespace lockstep::ops
