#include "comm/spare_cores.h"

#include <gtest/gtest.h>

#include <bit>

namespace lockstep::comm {
namespace {

CoreShare on_cores(int first, int last, int threads, int quota = 0) {
  CoreShare share;
  for (int core = first; core <= last; ++core)
    share.mask[core / 64] |= std::uint64_t{1} << (core % 64);
  share.threads = threads;
  share.quota = quota;
  return share;
}

bool spare(std::vector<CoreShare> ranks) { return spare_a_core_each(ranks); }

TEST(SpareCores, are_more_than_the_threads_of_a_rank) {
  EXPECT_FALSE(spare({on_cores(3, 3, 1)}));
  EXPECT_TRUE(spare({on_cores(3, 4, 1)}));
  EXPECT_FALSE(spare({on_cores(62, 65, 4)}));
  EXPECT_TRUE(spare({on_cores(62, 66, 4)}));
}

TEST(SpareCores, are_counted_over_all_ranks_of_a_machine) {
  // Both see all four cores; two threads and two more fit, three and three do not.
  EXPECT_TRUE(spare({on_cores(0, 3, 1), on_cores(0, 3, 1)}));
  EXPECT_FALSE(spare({on_cores(0, 3, 1), on_cores(0, 3, 1), on_cores(0, 3, 1)}));
  // Each its own two; one of them only one.
  EXPECT_TRUE(spare({on_cores(0, 1, 1), on_cores(2, 3, 1)}));
  EXPECT_FALSE(spare({on_cores(0, 6, 1), on_cores(7, 7, 1)}));
}

TEST(SpareCores, are_dealt_in_equal_parts) {
  const auto part = [](std::vector<CoreShare> ranks, std::size_t own) {
    return spare_cores_each(ranks, own);
  };
  EXPECT_EQ(part({on_cores(0, 0, 1)}, 0), 0);
  EXPECT_EQ(part({on_cores(0, 7, 2)}, 0), 6);
  EXPECT_EQ(part({on_cores(0, 7, 2, 5)}, 0), 3);  // of five by its cgroup
  EXPECT_EQ(part({on_cores(0, 7, 1), on_cores(0, 7, 2)}, 1), 2);
  EXPECT_EQ(part({on_cores(0, 1, 2), on_cores(0, 1, 2)}, 0), 0);  // more threads than cores
  // Never more than its own mask has.
  EXPECT_EQ(part({on_cores(0, 1, 1), on_cores(2, 15, 1)}, 0), 1);
  EXPECT_EQ(part({on_cores(0, 1, 1), on_cores(2, 15, 1)}, 1), 7);
}

TEST(SpareCores, are_limited_by_the_cgroup_and_absent_where_nothing_is_known) {
  EXPECT_FALSE(spare({on_cores(0, 7, 1, 3), on_cores(0, 7, 1, 3)}));
  EXPECT_TRUE(spare({on_cores(0, 7, 1, 4), on_cores(0, 7, 1, 4)}));
  EXPECT_FALSE(spare({CoreShare{}}));
  EXPECT_EQ(whole_cores_of("max 100000"), 0);
  EXPECT_EQ(whole_cores_of("400000 100000"), 4);
  EXPECT_EQ(whole_cores_of("350000 100000"), 3);
  EXPECT_EQ(whole_cores_of("50000 100000"), 1);
  EXPECT_EQ(whole_cores_of(""), 0);
}

TEST(SpareCores, of_this_process_are_those_of_its_mask) {
  const CoreShare share = local_core_share(2);
  int cores = 0;
  for (const std::uint64_t word : share.mask) cores += std::popcount(word);
  EXPECT_GE(cores, 1);
  EXPECT_EQ(share.threads, 2);
}

}  // namespace
}  // namespace lockstep::comm
