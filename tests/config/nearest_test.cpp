#include "lockstep/config/nearest.h"

#include <gtest/gtest.h>

namespace lockstep::config {
namespace {

TEST(EditDistance, counts_insertions_deletions_substitutions_and_swaps) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("batch", "batch"), 0);
  EXPECT_EQ(edit_distance("bacth", "batch"), 1);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("lane", "lanes"), 1);
}

TEST(Nearest, finds_the_likely_meaning_or_nothing) {
  EXPECT_EQ(nearest("bacth", {"lanes", "batch"}), "batch");
  EXPECT_EQ(nearest("resnet", {"lenet", "resnet20"}), "resnet20");
  EXPECT_EQ(nearest("qwertyuiop", {"lanes", "batch"}), "");
  EXPECT_EQ(nearest("x", {"lr"}), "");
  EXPECT_EQ(nearest("batch", {}), "");
}

}  // namespace
}  // namespace lockstep::config
