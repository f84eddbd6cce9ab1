// Each planted fault (kernels/faults.cu) is noticed, with a message that says what and where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/ptx/launch.h"

namespace lockstep::ptx {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

alignas(16) float numbers[256];

TEST(Faults, misaligned_access_names_kernel_thread_and_instruction) {
  EXPECT_THAT(
      [] { launch("misaligned", 1, 1, 0, +numbers, +numbers); },
      ThrowsMessage<KernelError>(
          AllOf(HasSubstr("kernel misaligned: block (0, 0, 0), thread (0, 0, 0)"),
                HasSubstr("misaligned address"), HasSubstr("ld.global"), HasSubstr("faults.cu:"))));
}

TEST(Faults, null_pointer) {
  const float* null = nullptr;
  EXPECT_THAT([&] { launch("null_pointer", 1, 1, 0, +numbers, null); },
              ThrowsMessage<KernelError>(HasSubstr("null pointer, address 0xc of 4 bytes")));
}

TEST(Faults, shared_memory_outside_the_launch) {
  launch("beyond_shared", 1, 1, 64, +numbers, 15);
  EXPECT_THAT([] { launch("beyond_shared", 1, 1, 64, +numbers, 16); },
              ThrowsMessage<KernelError>(HasSubstr("outside the 64 bytes of the launch")));
  EXPECT_THAT([] { launch("beyond_shared", 1, 1, 64, +numbers, -1); },
              ThrowsMessage<KernelError>(HasSubstr("outside the 64 bytes of the launch")));
}

TEST(Faults, shared_memory_begins_as_nan) {
  launch("uninitialised", 1, 32, 0, +numbers);
  EXPECT_EQ(numbers[0], 1);
  for (int i = 1; i < 32; ++i) EXPECT_TRUE(std::isnan(numbers[i]));
}

TEST(Faults, divergent_barrier) {
  EXPECT_THAT([] { launch("divergent_barrier", 1, 32, 0, +numbers); },
              ThrowsMessage<KernelError>(HasSubstr("divergent barrier")));
}

TEST(Faults, threads_that_wait_for_ever) {
  EXPECT_THAT([] { launch("waits_for_ever", 1, 32, 0, +numbers); },
              ThrowsMessage<KernelError>(AllOf(HasSubstr("no thread of the block can go on"),
                                               HasSubstr("16 (first 0) wait at bar"),
                                               HasSubstr("wait for lanes 0x0000ffff"))));
}

TEST(Faults, lanes_that_have_ended) {
  EXPECT_THAT([] { launch("lanes_missing", 1, 32, 0, +numbers); },
              ThrowsMessage<KernelError>(AllOf(HasSubstr("8 (first 24) have ended"),
                                               HasSubstr("wait for lanes 0xff000000"))));
}

TEST(Faults, a_copy_not_waited_for_shows_as_nan) {
  alignas(16) float x[4] = {1, 2, 3, 4};
  launch("no_wait", 1, 1, 0, +x, +numbers, 1);
  EXPECT_EQ(numbers[0], 2);
  launch("no_wait", 1, 1, 0, +x, +numbers, 0);
  EXPECT_TRUE(std::isnan(numbers[0]));
}

TEST(Faults, launches_beyond_the_limits) {
  EXPECT_THAT([] { launch("at_most_64", 1, 65, 0, +numbers); },
              ThrowsMessage<KernelError>(HasSubstr("65 threads a block; it takes 1 to 64")));
  EXPECT_THAT([] { launch("beyond_shared", 1, 1, 300 << 10, +numbers, 0); },
              ThrowsMessage<KernelError>(HasSubstr("too much shared memory")));
  EXPECT_THAT([] { launch("beyond_shared", 1, 1025, 64, +numbers, 0); },
              ThrowsMessage<KernelError>(HasSubstr("1025 threads a block")));
}

TEST(Faults, trap) {
  int y = 4;
  EXPECT_THAT([&] { launch("asserts", 1, 1, 0, &y); },
              ThrowsMessage<KernelError>(HasSubstr("trap")));
}

}  // namespace
}  // namespace lockstep::ptx
