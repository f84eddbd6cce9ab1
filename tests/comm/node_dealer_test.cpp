// Dealing lanes between nodes: the earliest end within the limits, and when it is worth it.
#include "comm/node_dealer.h"

#include <gtest/gtest.h>

#include <random>

#include "comm/topology.h"

namespace lockstep::comm {
namespace {

using Costs = std::vector<std::int64_t>;  // nanoseconds of a lane, by position

// Steps in which each rank runs `loads` lanes.
void run(NodeDealer& dealer, int steps, const Costs& costs, const Costs& loads) {
  for (int step = 0; step < steps; ++step) {
    for (std::size_t p = 0; p < costs.size(); ++p)
      for (std::int64_t i = 0; i < loads[p]; ++i) dealer.ran(static_cast<int>(p), costs[p]);
    dealer.end_step();
  }
}

Costs sizes(const std::vector<LaneRange>& cut) {
  Costs loads;
  for (const LaneRange& range : cut) loads.push_back(range.size());
  return loads;
}

TEST(NodeDealer, deals_in_proportion_to_speed_and_back) {
  NodeDealer dealer(make_topology({0, 1}, 0), 8, 1);
  run(dealer, 7, {1000, 3000}, {4, 4});
  EXPECT_FALSE(dealer.deal());  // too little was measured
  run(dealer, 1, {1000, 3000}, {4, 4});
  EXPECT_TRUE(dealer.deal());
  EXPECT_EQ(dealer.cut(), (std::vector<LaneRange>{{0, 6}, {6, 8}}));
  EXPECT_FALSE(dealer.deal());  // nothing is measured since
  run(dealer, 10, {1000, 3000}, {6, 2});
  EXPECT_FALSE(dealer.deal());  // as good as it gets
  run(dealer, 10, {1000, 1000}, {6, 2});
  EXPECT_TRUE(dealer.deal());
  EXPECT_EQ(dealer.cut(), (std::vector<LaneRange>{{0, 4}, {4, 8}}));
}

TEST(NodeDealer, moves_nothing_for_a_small_gain) {
  NodeDealer dealer(make_topology({0, 1}, 0), 100, 1);
  run(dealer, 8, {1000, 1040}, {50, 50});
  EXPECT_FALSE(dealer.deal());
  run(dealer, 8, {1000, 1200}, {50, 50});
  EXPECT_TRUE(dealer.deal());
}

TEST(NodeDealer, leaves_to_a_node_what_its_ranks_can_do_themselves) {
  NodeDealer dealer(make_topology({0, 0, 1, 1}, 0), 16, 1);
  // Each node has a rank of three times the other's speed: both can go on alike.
  run(dealer, 8, {1000, 3000, 3000, 1000}, {4, 4, 4, 4});
  EXPECT_FALSE(dealer.deal());
}

TEST(NodeDealer, gives_no_node_more_than_twice_its_share_and_one) {
  NodeDealer dealer(make_topology({0, 1, 2, 3}, 0), 40, 1);
  run(dealer, 8, {1, 1000000, 1000000, 1000000}, {10, 10, 10, 10});
  EXPECT_TRUE(dealer.deal());
  EXPECT_EQ(dealer.cut().front().size(), 21);
  for (const LaneRange& range : dealer.cut()) EXPECT_GE(range.size(), 1);
}

TEST(NodeDealer, finds_the_earliest_end_of_all_deals) {
  std::mt19937 random(4);
  const Topology topology = make_topology({0, 0, 1, 2}, 0);
  for (int round = 0; round < 300; ++round) {
    const int streams = 1 + static_cast<int>(random() % 2);
    const std::int64_t lanes = 5 + random() % 12;
    const auto even = sizes(cut_lanes(lanes, 4));
    Costs costs;
    for (int r = 0; r < 4; ++r) costs.push_back(100 + static_cast<std::int64_t>(random() % 2000));
    NodeDealer dealer(topology, lanes, streams);
    run(dealer, 8, costs, even);
    const bool dealt = dealer.deal();
    const DealLimits limits = deal_limits(topology, lanes);
    const auto end = [&](const Costs& loads) {
      std::int64_t slowest = 0;
      for (int r = 0; r < 4; ++r)
        slowest = std::max(slowest, (loads[r] + streams - 1) / streams * costs[r]);
      return slowest;
    };
    std::int64_t best = INT64_MAX, best_at_home = INT64_MAX;  // at home: no node's lanes change
    for (std::int64_t a = 1; a <= lanes - 3; ++a) {
      for (std::int64_t b = 1; a + b <= lanes - 2; ++b) {
        for (std::int64_t c = 1; a + b + c <= lanes - 1; ++c) {
          const Costs loads{a, b, c, lanes - a - b - c};
          if (a > limits.rank[0] || b > limits.rank[0] || c > limits.rank[1]) continue;
          if (loads[3] > limits.rank[2] || a + b > limits.node[0] || c > limits.node[1]) continue;
          if (loads[3] > limits.node[2]) continue;
          best = std::min(best, end(loads));
          if (a + b == even[0] + even[1] && c == even[2])
            best_at_home = std::min(best_at_home, end(loads));
        }
      }
    }
    EXPECT_EQ(dealt, best * 100 < best_at_home * 95) << "round " << round;
    EXPECT_EQ(dealt ? end(sizes(dealer.cut())) : best, best) << "round " << round;
    if (!dealt) {
      EXPECT_EQ(dealer.cut(), cut_lanes(lanes, 4));
    }
  }
}

}  // namespace
}  // namespace lockstep::comm
