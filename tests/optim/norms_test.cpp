#include "optim/norms.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lockstep/core/philox.h"
#include "lockstep/optim/optimizer.h"

namespace lockstep::optim {
namespace {

// The tree of NUMERICS.md 1 by its definition.
double node(const std::vector<double>& leaves, int level, std::size_t index) {
  if (level == 0) return leaves[index];
  const double left = node(leaves, level - 1, 2 * index);
  if (((2 * index + 1) << (level - 1)) >= leaves.size()) return left;
  return left + node(leaves, level - 1, 2 * index + 1);
}

TEST(SiblingSum, is_the_tree_over_the_next_power_of_two) {
  const RandomKey key{.seed = 5};
  for (std::size_t n = 1; n < 130; ++n) {
    std::vector<double> leaves;
    SiblingSum sum;
    for (std::size_t i = 0; i < n; ++i) {
      // Magnitudes far apart, so that another order gives other bits.
      leaves.push_back(std::ldexp(unit_interval(key.word(i)), static_cast<int>(key.word(i) % 40)));
      sum.push(leaves.back());
    }
    int level = 0;
    while ((std::size_t{1} << level) < n) ++level;
    EXPECT_EQ(sum.total(), node(leaves, level, 0)) << n;
  }
  EXPECT_EQ(SiblingSum().total(), 0);
}

TEST(GlobalNorm, counts_all_but_statistics) {
  ParameterTable table;
  table.add("w", {4096 + 5}, ParameterKind::kWeight, Init::kZeros);
  table.add("running", {7}, ParameterKind::kStatistic, Init::kZeros);
  table.add("b", {3}, ParameterKind::kNoDecay, Init::kZeros);
  const double values[] = {16, 25, 1e30, 23};
  EXPECT_EQ(global_norm(table, [&](int block) { return values[block]; }), 8);
}

TEST(GlobalNorm, is_nan_when_a_block_is) {
  ParameterTable table;
  table.add("w", {5000}, ParameterKind::kWeight, Init::kZeros);
  EXPECT_TRUE(std::isnan(global_norm(table, [](int block) { return block == 1 ? NAN : 1.0; })));
}

}  // namespace
}  // namespace lockstep::optim
