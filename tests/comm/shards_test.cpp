// Who owns what: cuts of buckets, and the messages that a SharedFlat plans from them.
#include "lockstep/comm/shards.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "comm/flat_plan.h"
#include "comm/topology.h"
#include "support/flat_layouts.h"

namespace lockstep::comm {
namespace {

TEST(Shards, gives_each_block_to_one_position_and_each_position_its_part_of_each_bucket) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    const FoldLayout layout = test::random_flat(seed, FlatExtent::kShards).fold;
    for (const int positions : {1, 2, 3, 5, 8, 40}) {
      const Shards shards(layout, positions);
      ASSERT_EQ(shards.buckets(), static_cast<int>(layout.buckets.size()));
      std::vector<int> owner(layout.blocks.size(), -1);
      std::vector<std::int64_t> elements(positions, 0);
      for (int b = 0; b < shards.buckets(); ++b) {
        std::int64_t largest = 0, end = layout.buckets[b].begin;
        for (int p = 0; p < positions; ++p) {
          const Range range = shards.range(b, p);
          elements[p] += range.size();
          if (range.size() == 0) continue;
          ASSERT_EQ(range.begin, end);  // runs touch
          end = range.end;
          for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
            const Range& block = layout.blocks[i];
            if (block.begin < range.begin || block.begin >= range.end) continue;
            ASSERT_LE(block.end, range.end);
            ASSERT_EQ(owner[i], -1);
            owner[i] = p;
            largest = std::max(largest, block.size() + 63);
          }
        }
        ASSERT_EQ(end, layout.buckets[b].end);
        for (int p = 0; p < positions; ++p) {
          ASSERT_LE(shards.range(b, p).size(), layout.buckets[b].size() / positions + largest + 1);
        }
      }
      ASSERT_EQ(owner, shards.owners());
      for (int p = 0; p < positions; ++p) ASSERT_EQ(elements[p], shards.elements(p));
    }
  }
}

// Plans of all ranks side by side, without memory or messages.
class World {
 public:
  World(const std::vector<int>& node_of_rank, const FlatLayout& layout) {
    const int ranks = static_cast<int>(node_of_rank.size());
    for (int r = 0; r < ranks; ++r) plans_.emplace_back(make_topology(node_of_rank, r), layout);
    std::sort(plans_.begin(), plans_.end(), [](const FlatPlan& a, const FlatPlan& b) {
      return a.topology.position < b.topology.position;
    });
  }
  const std::vector<FlatPlan>& plans() const { return plans_; }

  // What goes from position to position must be the same on both sides, in order.
  template <class Moves>
  void expect_matching(Moves moves) const {
    std::map<std::pair<int, int>, std::vector<std::pair<std::int64_t, std::int64_t>>> sent,
        received;
    for (const FlatPlan& plan : plans_) {
      const int me = plan.topology.position;
      for (const FlatMove& m : moves(plan).sends)
        sent[{me, m.peer}].push_back({m.range.begin, m.range.end});
      for (const FlatMove& m : moves(plan).receives)
        received[{m.peer, me}].push_back({m.range.begin, m.range.end});
    }
    EXPECT_EQ(sent, received);
  }

 private:
  std::vector<FlatPlan> plans_;
};

const std::vector<std::vector<int>> kPlacements{{0},
                                                {0, 0, 0},
                                                {0, 1, 1},
                                                {0, 1, 0, 1, 2, 0},
                                                {0, 0, 0, 0, 0, 1},
                                                {0, 1, 2, 3, 4, 4, 4, 4, 3, 3, 2, 0, 0, 0, 0, 0}};

TEST(FlatPlan, brings_every_shard_to_every_node_once_when_nodes_hold_all) {
  for (const auto& placement : kPlacements) {
    for (unsigned seed = 0; seed < 10; ++seed) {
      const FlatLayout layout = test::random_flat(seed, FlatExtent::kWhole);
      const World world(placement, layout);
      for (std::size_t b = 0; b < layout.fold.buckets.size(); ++b)
        world.expect_matching([b](const FlatPlan& plan) { return plan.buckets[b]; });
      const Topology& topology = world.plans().front().topology;
      for (int node = 0; node < topology.nodes(); ++node) {
        std::vector<int> brought(layout.fold.flat_elements);
        for (int p = topology.node_begin[node]; p < topology.node_begin[node + 1]; ++p) {
          for (const Range& held : world.plans()[p].held)
            for (std::int64_t e = held.begin; e < held.end; ++e) ++brought[e];
        }
        EXPECT_EQ(std::count(brought.begin(), brought.end(), 1), layout.fold.flat_elements);
      }
    }
  }
}

TEST(FlatPlan, fills_each_gathered_range_of_a_use_once_and_leaves_the_others_where_they_are) {
  for (const auto& placement : kPlacements) {
    for (unsigned seed = 0; seed < 10; ++seed) {
      const FlatLayout layout = test::random_flat(seed, FlatExtent::kShards);
      const World world(placement, layout);
      const Topology& topology = world.plans().front().topology;
      const Shards& shards = world.plans().front().shards;
      for (std::size_t u = 0; u < layout.uses.size(); ++u) {
        world.expect_matching([u](const FlatPlan& plan) { return plan.uses[u]; });
        for (int node = 0; node < topology.nodes(); ++node) {
          const int begin = topology.node_begin[node], end = topology.node_begin[node + 1];
          const FlatPlan& first = world.plans()[begin];
          // By element of the place: which element of flat() comes there, and how often.
          std::vector<std::pair<std::int64_t, int>> place(first.uses[u].elements, {-1, 0});
          for (int p = begin; p < end; ++p) {
            const FlatPlan::Use& use = world.plans()[p].uses[u];
            ASSERT_EQ(use.at, first.uses[u].at);
            for (const auto* moves : {&use.receives, &use.copies}) {
              for (const FlatMove& m : *moves) {
                for (std::int64_t e = m.range.begin; e < m.range.end; ++e)
                  place[m.at + e - m.range.begin] = {e, place[m.at + e - m.range.begin].second + 1};
              }
            }
          }
          for (std::size_t r = 0; r < layout.uses[u].ranges.size(); ++r) {
            const Range& range = layout.uses[u].ranges[r];
            bool local = true;
            for (std::size_t i = 0; i < layout.fold.blocks.size(); ++i) {
              const Range& block = layout.fold.blocks[i];
              const int owner_node = topology.node_of[shards.owner(static_cast<int>(i))];
              if (block.end > range.begin && block.begin < range.end) local &= owner_node == node;
            }
            const std::int64_t at = first.uses[u].at[r];
            ASSERT_EQ(at == -1, local);
            ASSERT_TRUE(at == -1 || at % 16 == 0);
            for (std::int64_t e = range.begin; at >= 0 && e < range.end; ++e) {
              ASSERT_EQ(place[at + e - range.begin].first, e);
              ASSERT_EQ(place[at + e - range.begin].second, 1);
            }
          }
        }
      }
    }
  }
}

TEST(FlatPlan, sends_neighbouring_small_parameters_of_an_owner_as_one_message) {
  FlatLayout layout;
  layout.extent = FlatExtent::kShards;
  layout.fold.flat_elements = 8192 + 5 * 64;
  layout.fold.blocks = {{0, 4096}, {4096, 8192}};
  FlatUse use{{{4096, 8192}}};
  for (std::int64_t begin = 8192; begin < layout.fold.flat_elements; begin += 64) {
    layout.fold.blocks.push_back({begin, begin + 7});
    use.ranges.push_back({begin, begin + 7});
  }
  layout.fold.buckets = {{0, layout.fold.flat_elements}};
  layout.uses = {use};
  const FlatPlan owner(make_topology({0, 1}, 1), layout);
  ASSERT_EQ(owner.uses[0].sends.size(), 1u);
  EXPECT_EQ(owner.uses[0].sends[0].range.end, layout.fold.flat_elements - 57);
}

}  // namespace
}  // namespace lockstep::comm
