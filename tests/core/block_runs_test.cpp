#include "lockstep/core/block_runs.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

ParameterTable three_parameters() {
  ParameterTable table;
  table.add("a", Shape{2 * kBlock + 5}, ParameterKind::kWeight, Init::kZeros);  // blocks 0, 1, 2
  table.add("b", Shape{7}, ParameterKind::kNoDecay, Init::kZeros);              // block 3
  table.add("c", Shape{kBlock + 1}, ParameterKind::kWeight, Init::kZeros);      // blocks 4, 5
  return table;
}

// Every element has a place of its own, in order, with the runs' begins on granules.
void expect_places(const ParameterTable& table, const std::vector<bool>& mine) {
  const std::vector<BlockRun> runs = runs_of(table, mine);
  std::int64_t before = -1;
  for (std::size_t b = 0; b < mine.size(); ++b) {
    const Block& block = table.blocks()[b];
    if (!mine[b]) {
      EXPECT_ANY_THROW(packed_place(runs, block.begin)) << b;
      continue;
    }
    for (std::int64_t e = block.begin; e < block.begin + block.elements; ++e) {
      const std::int64_t at = packed_place(runs, e);
      ASSERT_GT(at, before);
      before = at;
    }
  }
  EXPECT_LT(before, packed_elements(runs));
  for (const BlockRun& run : runs) EXPECT_EQ(run.at % kGranule, 0);
}

TEST(BlockRuns, join_blocks_that_follow_each_other) {
  const ParameterTable table = three_parameters();
  const std::vector<bool> mine{false, true, true, true, false, true};
  const std::vector<BlockRun> runs = runs_of(table, mine);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].first, 1);
  EXPECT_EQ(runs[0].count, 3);
  EXPECT_EQ(runs[0].begin, kBlock);
  EXPECT_EQ(runs[0].begin + runs[0].elements, table[1].offset + 7);
  EXPECT_EQ(runs[1].first, 5);
  EXPECT_EQ(runs[1].elements, 1);
  EXPECT_EQ(packed_elements(runs), kBlock + 3 * kGranule);
  expect_places(table, mine);
}

TEST(BlockRuns, may_be_all_blocks_or_none) {
  const ParameterTable table = three_parameters();
  expect_places(table, std::vector<bool>(6, true));
  const std::vector<BlockRun> all = runs_of(table, std::vector<bool>(6, true));
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].shift(), 0);
  EXPECT_EQ(packed_elements(runs_of(table, std::vector<bool>(6, false))), 0);
  EXPECT_EQ(whole_run(table)[0].count, 6);
  EXPECT_EQ(whole_run(table)[0].elements, table.flat_elements());
}

}  // namespace
}  // namespace lockstep
