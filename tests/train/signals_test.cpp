#include "lockstep/train/signals.h"

#include <gtest/gtest.h>

#include <csignal>

namespace lockstep::train {
namespace {

TEST(Signals, set_a_flag_and_the_first_is_remembered) {
  install_signal_handlers();
  for (int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) {
    forget_stop_request();
    EXPECT_FALSE(stop_requested());
    std::raise(signal);
    EXPECT_TRUE(stop_requested());
    std::raise(SIGUSR1);
    EXPECT_EQ(stop_signal(), signal);
  }
  forget_stop_request();
}

TEST(SignalsDeathTest, a_second_interrupt_ends_the_program) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        install_signal_handlers();
        std::raise(SIGTERM);
        std::raise(SIGTERM);
        std::raise(SIGINT);
        std::fputs(stop_requested() ? "asked to stop\n" : "not asked\n", stderr);
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "asked to stop");
}

}  // namespace
}  // namespace lockstep::train
