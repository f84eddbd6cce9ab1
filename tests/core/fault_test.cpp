#include "lockstep/core/fault.h"

#include <gtest/gtest.h>

#include <cmath>
#include <csignal>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"

namespace lockstep {
namespace {

TEST(Fault, refuses_what_it_does_not_understand) {
  for (const char* text : {"explode at=fold", "kill at=nowhere", "kill step=3",
                           "kill at=fold step=x", "kill at=fold after=3", "kill at=fold step=-1"})
    EXPECT_THROW(fault::arm(text, 0), UserError) << text;
}

TEST(FaultDeathTest, kills_once_the_place_is_reached) {
  const auto die = [] {
    fault::arm("kill rank=1 at=fold step=12", 1);
    fault::pass("data", 12);
    fault::pass("fold", 11);
    fault::pass("fold", 12);
  };
  EXPECT_EXIT(die(), testing::KilledBySignal(SIGKILL), "a failure on purpose");
}

TEST(Fault, is_nothing_to_other_ranks) {
  fault::arm("kill rank=1 at=fold", 0);
  EXPECT_FALSE(fault::armed());
  fault::pass("fold", 1);
}

TEST(Fault, damages_numbers_once_and_slows_down_for_good) {
  fault::arm("nan at=gradient step=2; flip at=update step=3; slow at=forward step=4 ms=20", 0);
  EXPECT_TRUE(fault::armed());
  bool flip = true;
  EXPECT_FALSE(fault::damages("gradient", 1, flip));
  EXPECT_TRUE(fault::damages("gradient", 2, flip));
  EXPECT_FALSE(flip);
  EXPECT_FALSE(fault::damages("gradient", 2, flip));
  EXPECT_TRUE(fault::damages("update", 3, flip));
  EXPECT_TRUE(flip);
  EXPECT_TRUE(std::isnan(fault::damaged(1, false, 30)));
  EXPECT_EQ(fault::damaged(1.5F, true, 22), 1.0F);
  for (const std::int64_t step : {4, 5}) {
    const double start = seconds_now();
    fault::pass("forward", step);
    EXPECT_GE(seconds_now() - start, 0.02);
  }
}

// Whichever rank runs it: what a lane does is not a function of ranks.
TEST(Fault, waits_for_its_lane_on_any_rank) {
  fault::arm("nan at=gradient step=9 lane=3", 2);
  bool flip = true;
  EXPECT_FALSE(fault::damages("gradient", 9, flip));
  EXPECT_FALSE(fault::damages("gradient", 9, flip, 2));
  EXPECT_TRUE(fault::damages("gradient", 9, flip, 3));
  EXPECT_FALSE(fault::damages("gradient", 9, flip, 3));
}

}  // namespace
}  // namespace lockstep
