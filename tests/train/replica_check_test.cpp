#include "train/replica_check.h"

#include <gtest/gtest.h>

namespace lockstep::train {
namespace {

struct Grouping {
  std::vector<int> of;
  bool tied = false;
};
// values: 0 stands for a rank without a copy.
Grouping grouped(const std::vector<int>& values) {
  std::vector<Hash128> hashes;
  std::vector<bool> has;
  for (const int v : values) {
    hashes.push_back(hash_bytes(&v, sizeof v));
    has.push_back(v != 0);
  }
  Grouping g;
  g.of = group_of(hashes, has, g.tied);
  return g;
}

TEST(ReplicaCheck, names_those_that_the_majority_differs_from) {
  EXPECT_EQ(grouped({7, 7, 7}).of, (std::vector<int>{0, 0, 0}));
  const Grouping odd = grouped({4, 7, 7, 7});
  EXPECT_EQ(odd.of, (std::vector<int>{1, 0, 0, 0}));
  EXPECT_FALSE(odd.tied);
  EXPECT_EQ(grouped({7, 4, 7, 5, 7}).of, (std::vector<int>{0, 1, 0, 2, 0}));
}

TEST(ReplicaCheck, knows_when_nobody_can_tell) {
  EXPECT_TRUE(grouped({4, 7}).tied);
  EXPECT_EQ(grouped({4, 7}).of, (std::vector<int>{0, 1}));
  EXPECT_TRUE(grouped({4, 7, 7, 4, 5}).tied);
  EXPECT_FALSE(grouped({4}).tied);
}

TEST(ReplicaCheck, leaves_out_ranks_without_a_copy) {
  EXPECT_EQ(grouped({0, 7, 0, 7, 4}).of, (std::vector<int>{-1, 0, -1, 0, 1}));
}

}  // namespace
}  // namespace lockstep::train
