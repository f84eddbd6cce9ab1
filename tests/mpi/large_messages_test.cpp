// Counts that no int holds. Wants 7 GB of memory and 2 ranks.
#include <gtest/gtest.h>

#include "lockstep/comm/communicator.h"

namespace lockstep::comm {
namespace {

constexpr std::int64_t kCount = (std::int64_t{1} << 31) + 17;

std::byte value(std::int64_t i) { return static_cast<std::byte>(i * 2654435761 >> 24); }

// The first place of bytes[0, ...) that is not value(begin), value(begin + 1), ...; -1: none.
std::int64_t first_wrong(std::span<const std::byte> bytes, std::int64_t begin) {
  for (std::int64_t i = 0; i < std::ssize(bytes); ++i) {
    if (bytes[i] != value(begin + i)) return i;
  }
  return -1;
}

TEST(LargeMessages, are_broadcast_whole) {
  const auto c = make_communicator({});
  std::vector<std::byte> bytes(kCount);
  const int root = c->size() - 1;
  for (std::int64_t i = 0; i < kCount && c->rank() == root; ++i) bytes[i] = value(i);
  c->broadcast(bytes, root);
  EXPECT_EQ(first_wrong(bytes, 0), -1);
}

// Rank 0's part alone is more than an int, and the others' lie behind it.
TEST(LargeMessages, are_gathered_whole) {
  const auto c = make_communicator({});
  const std::int64_t rest = 1001;
  const std::int64_t begin = c->rank() == 0 ? 0 : kCount + (c->rank() - 1) * rest;
  std::vector<std::byte> mine(c->rank() == 0 ? kCount : rest);
  for (std::int64_t i = 0; i < std::ssize(mine); ++i) mine[i] = value(begin + i);
  const auto all = c->gather_all(mine);
  ASSERT_EQ(std::ssize(all), kCount + (c->size() - 1) * rest);
  EXPECT_EQ(first_wrong(all, 0), -1);
}

}  // namespace
}  // namespace lockstep::comm
