// The late device of the tests: what it does not wait for is not done, and what it waits for is.
#include "support/late_device.h"

#include <gtest/gtest.h>

namespace lockstep::test {
namespace {

TEST(LateDevice, keeps_the_order_of_a_stream_and_of_events_only) {
  int without_wait = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    for (const bool waits : {true, false}) {
      LateDevice device(seed);
      const auto first = device.make_stream(), second = device.make_stream();
      const auto event = device.make_event();
      int value = 0, seen = -1;
      for (int i = 1; i <= 5; ++i) device.give(*first, [&value, i] { value = 10 * value + i; });
      event->record(*first);
      if (waits) event->wait(*second);
      device.give(*second, [&] { seen = value; });
      EXPECT_EQ(value, 0);
      EXPECT_FALSE(event->done());
      second->synchronize();
      first->synchronize();
      EXPECT_TRUE(event->done());
      EXPECT_EQ(value, 12345);
      EXPECT_TRUE(!waits || seen == 12345);
      without_wait += seen != 12345;
    }
  }
  EXPECT_GT(without_wait, 10);
}

TEST(LateDevice, records_a_captured_event_each_time_the_graph_runs) {
  LateDevice device(3);
  const auto stream = device.make_stream(), reader = device.make_stream();
  const auto event = device.make_event();
  int value = 0, seen = 0;
  stream->begin_capture();
  device.give(*stream, [&value] { ++value; });
  event->record(*stream);
  const auto graph = stream->end_capture();
  EXPECT_TRUE(event->done());
  for (int i = 1; i <= 3; ++i) {
    stream->launch(*graph);
    event->wait(*reader);
    device.give(*reader, [&] { seen = value; });
    reader->synchronize();
    EXPECT_EQ(seen, i);
  }
}

}  // namespace
}  // namespace lockstep::test
