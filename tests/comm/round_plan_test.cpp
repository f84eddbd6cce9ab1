#include "comm/round_plan.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "comm/topology.h"
#include "support/tree_reference.h"

namespace lockstep::comm {
namespace {

FoldLayout layout_of(std::int64_t lanes, int streams) {
  FoldLayout layout;
  for (std::int64_t at = 0; at < 5 * 4096; at += 4096) layout.blocks.push_back({at, at + 4096});
  layout.flat_elements = 5 * 4096;
  layout.buckets = {{3 * 4096, 5 * 4096}, {0, 3 * 4096}};
  layout.lanes = lanes;
  layout.streams = streams;
  layout.record_bytes = 24;
  layout.sums = SumsTo::kOwners;
  layout.leaves = Leaves::kInRounds;
  return layout;
}

// The tree's sum of numbers that come in rounds, by the takes alone.
float sum_by_rounds(const RoundPlan& plan, const std::vector<float>& lanes) {
  std::vector<float> slots(plan.slots);
  for (const Round& round : plan.rounds) {
    std::vector<float> sources;
    for (std::int64_t lane = round.lanes.begin; lane < round.lanes.end; ++lane)
      sources.push_back(lanes[lane]);
    for (const Take& take : round.takes) {
      std::vector<float> operand(take.program.operands());
      for (int i = 0; i < take.program.sources; ++i) operand[i] = sources[take.first_source + i];
      for (const auto& add : take.program.adds)
        operand[add.into] = operand[add.left] + operand[add.right];
      for (const auto& [into, from] : take.program.moves) operand[into] = operand[from];
      const float arriving = operand[take.program.first_out()];
      if (take.arrival.slot >= 0) slots[take.arrival.slot] = arriving;
      for (const Merge& merge : take.arrival.merges)
        slots[merge.into] += merge.from < 0 ? arriving : slots[merge.from];
    }
  }
  return slots[plan.sum_slot];
}

TEST(RoundPlan, sums_in_tree_order_with_few_partial_sums) {
  std::mt19937 random(4);
  for (int ranks = 1; ranks <= 9; ++ranks) {
    for (int streams = 1; streams <= 3; ++streams) {
      for (std::int64_t lanes = 1; lanes <= 70; lanes += 1 + lanes / 9) {
        const RoundPlan plan(make_topology(std::vector<int>(ranks, 0), 0),
                             layout_of(lanes, streams));
        int levels = 0;
        while ((std::int64_t{1} << levels) < lanes) ++levels;
        ASSERT_LE(plan.slots, levels + 1);
        std::vector<float> values(lanes);
        for (float& v : values)
          v = std::ldexp(static_cast<float>(random() % 1000) - 500, random() % 40);
        ASSERT_EQ(sum_by_rounds(plan, values), test::tree_sum(values))
            << ranks << " ranks, " << streams << " streams, " << lanes << " lanes";
      }
    }
  }
}

TEST(RoundPlan, gives_each_lane_one_worker_and_one_record) {
  for (int ranks = 1; ranks <= 5; ++ranks) {
    for (const std::int64_t lanes : {1, 4, 7, 24}) {
      const RoundPlan plan(make_topology(std::vector<int>(ranks, 0), 0), layout_of(lanes, 2));
      std::set<std::int64_t> places;
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        const int j = plan.round_of_lane(lane), position = plan.position_of(lane);
        EXPECT_EQ(plan.lanes_of(j, position, position + 1).begin + plan.stream_of(lane), lane);
        places.insert(plan.record_place(lane));
        EXPECT_GE(plan.record_place(lane), plan.record_ranges[position].begin);
        EXPECT_LT(plan.record_place(lane), plan.record_ranges[position].end);
      }
      EXPECT_EQ(static_cast<std::int64_t>(places.size()), lanes);
      EXPECT_EQ(plan.record_ranges.back().end, lanes);
    }
  }
}

TEST(RoundPlan, keeps_bytes_as_the_ledger_says) {
  // 64 lanes in 16 rounds on 4 ranks of two nodes: 4 partial sums of a shard.
  const RoundPlan plan(make_topology({0, 0, 1, 1}, 0), layout_of(64, 1));
  EXPECT_EQ(plan.slots, 4);
  EXPECT_EQ(plan.slot_floats, 2 * 4096);  // position 0 owns a block of each bucket at most
  EXPECT_EQ(plan.leaf_floats, 3 * 4096);
  EXPECT_EQ(plan.outbox_floats[0], 2 * 4096);  // its half of a bucket, one node of two lanes
  EXPECT_EQ(plan.inbox_floats, 4096);
}

}  // namespace
}  // namespace lockstep::comm
