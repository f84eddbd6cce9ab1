#include "lockstep/bench/measure.h"

#include <gtest/gtest.h>

#include <thread>

namespace lockstep::bench {
namespace {

using std::chrono::microseconds;

TEST(Measure, makes_as_many_repetitions_as_asked_for_and_counts_calls) {
  const auto self = comm::make_self_communicator();
  std::int64_t calls = 0, settled = 0;
  MeasureOptions options{.seconds = 0.01, .repetitions = 5, .settle = [&] { ++settled; }};
  const Timing t = measure(
      *self,
      [&] {
        ++calls;
        std::this_thread::sleep_for(microseconds(100));
      },
      options);
  EXPECT_EQ(t.repetitions, 5);
  EXPECT_GE(t.calls, 1);
  EXPECT_EQ(calls, 2 + t.repetitions * t.calls);  // one to warm up, one to see how long it takes
  EXPECT_EQ(settled, 2 + t.repetitions);
}

TEST(Measure, gives_the_time_of_one_call_between_the_least_and_the_most) {
  const auto self = comm::make_self_communicator();
  const Timing t =
      measure(*self, [] { std::this_thread::sleep_for(microseconds(500)); }, {.seconds = 0.02});
  EXPECT_LE(t.least, t.median);
  EXPECT_LE(t.median, t.most);
  EXPECT_GE(t.least, 450e-6);  // no sleep is shorter
  EXPECT_GE(t.spread, 0);
  EXPECT_LE(t.spread, (t.most - t.least) / t.median + 1e-12);
}

TEST(Measure, slow_work_is_called_once_in_each_repetition) {
  const auto self = comm::make_self_communicator();
  int calls = 0;
  const Timing t = measure(
      *self,
      [&] {
        ++calls;
        std::this_thread::sleep_for(microseconds(2000));
      },
      {.seconds = 1e-6, .repetitions = 3});
  EXPECT_EQ(t.calls, 1);
  EXPECT_EQ(calls, 5);
}

// The seconds of repetitions are told, so that the statistics can be compared with numpy's.
TEST(Measure, statistics_are_those_of_numpy) {
  // numpy.percentile([1, 2, 4, 7, 11, 16, 22], [25, 50, 75]) = 3, 7, 13.5
  const Timing t = timing_of({16e-3, 1e-3, 22e-3, 2e-3, 11e-3, 4e-3, 7e-3});
  EXPECT_DOUBLE_EQ(t.median, 7e-3);
  EXPECT_DOUBLE_EQ(t.least, 1e-3);
  EXPECT_DOUBLE_EQ(t.most, 22e-3);
  EXPECT_DOUBLE_EQ(t.spread, (13.5 - 3) / 7);
  EXPECT_EQ(t.repetitions, 7);
  // numpy.percentile([1, 2, 4, 8], [25, 50, 75]) = 1.75, 3, 5
  const Timing even = timing_of({8, 4, 2, 1});
  EXPECT_DOUBLE_EQ(even.median, 3);
  EXPECT_DOUBLE_EQ(even.spread, (5 - 1.75) / 3);
  EXPECT_DOUBLE_EQ(timing_of({5}).median, 5);
}

}  // namespace
}  // namespace lockstep::bench
