#include "lockstep/comm/node_store.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "lockstep/core/error.h"
#include "support/tree_reference.h"

namespace lockstep::comm {
namespace {

std::vector<std::int64_t> lane_counts() {
  std::vector<std::int64_t> counts;
  for (std::int64_t lanes = 1; lanes <= 33; ++lanes) counts.push_back(lanes);
  return counts;
}

// Runs a schedule on numbers and returns what remains, in lane order.
std::vector<float> execute(const FoldSchedule& schedule, const std::vector<float>& arriving) {
  std::vector<float> slot(schedule.slots);
  for (std::size_t i = 0; i < arriving.size(); ++i) {
    const Arrival& arrival = schedule.arrivals[i];
    if (arrival.slot >= 0) slot[arrival.slot] = arriving[i];
    for (const Merge& merge : arrival.merges) {
      slot[merge.into] += merge.from < 0 ? arriving[i] : slot[merge.from];
    }
  }
  std::vector<float> left;
  for (const auto& [node, place] : schedule.remaining) left.push_back(slot[place]);
  return left;
}

std::vector<float> wild_values(std::int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values;
  for (std::int64_t i = 0; i < n; ++i) {
    const float sign = random() % 2 ? 1.0f : -1.0f;
    values.push_back(sign *
                     std::ldexp(1.0f + random() % 8388608 / 8388608.0f, int(random() % 60) - 30));
  }
  return values;
}

std::vector<Node> leaves(LaneRange range) {
  std::vector<Node> nodes;
  for (std::int64_t lane = range.begin; lane < range.end; ++lane) nodes.push_back({0, lane});
  return nodes;
}

TEST(CanonicalNodes, cover_every_range_in_order_with_aligned_nodes) {
  for (const std::int64_t lanes : lane_counts()) {
    for (std::int64_t a = 0; a <= lanes; ++a) {
      for (std::int64_t b = a; b <= lanes; ++b) {
        std::int64_t at = a;
        for (const Node& node : canonical_nodes({a, b}, lanes)) {
          ASSERT_EQ(node.begin(), at);
          ASSERT_LT(at, lanes);
          at = node.end(lanes);
          ASSERT_LE(at, b);
        }
        ASSERT_EQ(at, b);
      }
    }
  }
}

TEST(CanonicalNodes, name_a_node_without_right_lanes_by_its_parent) {
  EXPECT_EQ(canonical_nodes({8, 12}, 12), (std::vector<Node>{{3, 1}}));
  EXPECT_EQ(canonical_nodes({8, 11}, 11), (std::vector<Node>{{3, 1}}));
  EXPECT_EQ(canonical_nodes({0, 12}, 12), (std::vector<Node>{{4, 0}}));
  EXPECT_EQ(canonical_nodes({1, 8}, 8), (std::vector<Node>{{0, 1}, {1, 1}, {2, 1}}));
}

TEST(CutLanes, is_contiguous_whole_and_as_even_as_can_be) {
  auto counts = lane_counts();
  counts.push_back(256);
  for (const std::int64_t lanes : counts) {
    for (int parts = 1; parts <= lanes; parts += lanes > 33 ? 7 : 1) {
      const auto cut = cut_lanes(lanes, parts);
      ASSERT_EQ(cut.size(), static_cast<std::size_t>(parts));
      std::int64_t at = 0;
      for (const LaneRange& range : cut) {
        ASSERT_EQ(range.begin, at);
        ASSERT_GE(range.size(), 1);
        ASSERT_LE(range.size(), (lanes + parts - 1) / parts);
        at = range.end;
      }
      ASSERT_EQ(at, lanes);
    }
  }
}

std::int64_t fewest_by_trying(std::int64_t at, std::int64_t lanes, int parts, std::int64_t load) {
  if (parts == 0) return at == lanes ? 0 : 1000000;
  std::int64_t best = 1000000;
  for (std::int64_t take = 1; take <= load && at + take <= lanes; ++take) {
    best = std::min<std::int64_t>(best, canonical_nodes({at, at + take}, lanes).size() +
                                            fewest_by_trying(at + take, lanes, parts - 1, load));
  }
  return best;
}

std::int64_t nodes_of(const std::vector<LaneRange>& cut, std::int64_t lanes) {
  std::int64_t total = 0;
  for (const LaneRange& range : cut) total += canonical_nodes(range, lanes).size();
  return total;
}

TEST(CutLanes, needs_no_more_nodes_than_the_best_of_all_cuts) {
  for (std::int64_t lanes = 1; lanes <= 13; ++lanes) {
    for (int parts = 1; parts <= lanes; ++parts) {
      const std::int64_t load = (lanes + parts - 1) / parts;
      EXPECT_EQ(nodes_of(cut_lanes(lanes, parts), lanes), fewest_by_trying(0, lanes, parts, load))
          << lanes << " lanes, " << parts << " parts";
    }
  }
}

TEST(CutLanes, finds_33_nodes_for_15_ranks_of_256_lanes) {
  EXPECT_EQ(nodes_of(cut_lanes(256, 15), 256), 33);
}

TEST(CutLanes, refuses_more_parts_than_lanes_with_the_remedy) {
  try {
    cut_lanes(8, 9);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("no more than 8"), std::string::npos) << error.what();
  }
}

TEST(Schedule, folds_any_cut_to_the_bits_of_the_serial_tree) {
  auto counts = lane_counts();
  counts.push_back(256);
  for (const std::int64_t lanes : counts) {
    const auto values = wild_values(lanes, static_cast<unsigned>(lanes));
    const float expected = test::tree_sum(values);
    for (int parts = 1; parts <= lanes; parts += lanes > 33 ? 5 : 1) {
      for (const bool directly : {false, true}) {
        std::vector<Node> nodes;
        std::vector<float> partial;
        for (const LaneRange& range : cut_lanes(lanes, parts)) {
          const auto schedule = make_schedule(leaves(range), lanes, directly);
          const std::vector<float> mine(values.begin() + range.begin, values.begin() + range.end);
          const auto left = execute(schedule, mine);
          const auto canonical = canonical_nodes(range, lanes);
          ASSERT_EQ(schedule.remaining.size(), canonical.size());
          for (std::size_t i = 0; i < left.size(); ++i) {
            ASSERT_EQ(schedule.remaining[i].first, canonical[i]);
            nodes.push_back(canonical[i]);
            partial.push_back(left[i]);
          }
        }
        const auto root = execute(make_schedule(nodes, lanes, directly), partial);
        ASSERT_EQ(root.size(), 1u);
        ASSERT_EQ(std::bit_cast<unsigned>(root[0]), std::bit_cast<unsigned>(expected))
            << lanes << " lanes, " << parts << " parts";
      }
    }
  }
}

TEST(Schedule, folds_arrivals_in_any_order_to_the_same_bits) {
  std::mt19937 random(5);
  for (const std::int64_t lanes : {8, 12, 15, 33}) {
    const auto values = wild_values(lanes, 77);
    auto order = leaves({0, lanes});
    for (int round = 0; round < 50; ++round) {
      std::shuffle(order.begin(), order.end(), random);
      std::vector<float> arriving;
      for (const Node& node : order) arriving.push_back(values[node.index]);
      for (const bool directly : {false, true}) {
        const auto root = execute(make_schedule(order, lanes, directly), arriving);
        ASSERT_EQ(root.size(), 1u);
        ASSERT_EQ(std::bit_cast<unsigned>(root[0]),
                  std::bit_cast<unsigned>(test::tree_sum(values)));
      }
    }
  }
}

TEST(Schedule, differs_from_a_counter_of_pushes_where_that_gives_another_tree) {
  // 8 lanes on 3 ranks: sums by rank, then over ranks, are another tree; floats tell them apart.
  const std::vector<float> values{1e8f, 1, 1, -1e8f, 1, 1, 1e-8f, 3};
  const auto cut = cut_lanes(8, 3);
  float by_rank = 0;
  for (const LaneRange& range : cut) {
    float sum = values[range.begin];
    for (std::int64_t lane = range.begin + 1; lane < range.end; ++lane) sum += values[lane];
    by_rank += sum;
  }
  EXPECT_NE(by_rank, test::tree_sum(values));
}

TEST(Schedule, moves_the_first_value_so_that_minus_zero_survives) {
  const std::vector<float> values(12, -0.0f);
  for (int parts = 1; parts <= 12; ++parts) {
    for (const LaneRange& range : cut_lanes(12, parts)) {
      const std::vector<float> mine(range.size(), -0.0f);
      for (const float left : execute(make_schedule(leaves(range), 12, true), mine)) {
        EXPECT_TRUE(std::signbit(left));
      }
    }
  }
}

TEST(Schedule, keeps_no_more_partials_than_the_depth_of_the_tree) {
  for (const std::int64_t lanes : {1, 2, 8, 256}) {
    const int depth = std::bit_width(static_cast<unsigned>(lanes)) - 1;
    EXPECT_LE(make_schedule(leaves({0, lanes}), lanes, true).slots, std::max(1, depth));
    EXPECT_EQ(make_schedule(leaves({0, lanes}), lanes, false).slots, depth + 1);
  }
}

}  // namespace
}  // namespace lockstep::comm
