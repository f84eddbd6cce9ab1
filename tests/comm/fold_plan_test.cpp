#include "comm/fold_plan.h"

#include <gtest/gtest.h>

#include <random>

#include "comm/fold_memory.h"
#include "comm/topology.h"
#include "support/tree_reference.h"

namespace lockstep::comm {
namespace {

TEST(TileProgram, adds_in_tree_order_and_moves_what_needs_no_addition) {
  std::mt19937 random(3);
  for (std::int64_t lanes = 1; lanes <= 33; ++lanes) {
    for (std::int64_t begin = 0; begin < lanes; begin += 3) {
      std::vector<Node> sources;
      std::vector<float> values(lanes);
      for (std::int64_t lane = begin; lane < lanes; ++lane) sources.push_back({0, lane});
      for (float& v : values)
        v = std::ldexp(static_cast<float>(random() % 1000) - 500, random() % 40);
      const TileProgram program = make_program(sources, lanes);
      std::vector<float> operand(program.operands());
      for (int i = 0; i < program.sources; ++i) operand[i] = values[begin + i];
      for (const auto& add : program.adds)
        operand[add.into] = operand[add.left] + operand[add.right];
      for (const auto& [into, from] : program.moves) operand[into] = operand[from];
      const auto nodes = canonical_nodes({begin, lanes}, lanes);
      ASSERT_EQ(program.out_nodes, nodes);
      for (int o = 0; o < program.outs; ++o) {
        ASSERT_EQ(operand[program.first_out() + o],
                  test::tree_node(values, nodes[o].level, nodes[o].begin()));
      }
      for (int i = 0; i < program.sources; ++i) ASSERT_EQ(operand[i], values[begin + i]);

      std::vector<float> stack;  // the same additions, in their other form
      const auto merges = tree_merges(sources, lanes);
      for (int i = 0; i < program.sources; ++i) {
        stack.push_back(values[begin + i]);
        for (int m = 0; m < merges[i]; ++m) {
          const float right = stack.back();
          stack.pop_back();
          stack.back() += right;
        }
      }
      ASSERT_EQ(stack, std::vector<float>(operand.begin() + program.first_out(), operand.end()));
    }
  }
}

FoldLayout two_parameters(std::int64_t a, std::int64_t b) {
  FoldLayout layout;
  const std::int64_t second = (a + 63) / 64 * 64;
  for (std::int64_t at = 0; at < a; at += 4096)
    layout.blocks.push_back({at, std::min(a, at + 4096)});
  for (std::int64_t at = 0; at < b; at += 4096) {
    layout.blocks.push_back({second + at, second + std::min(b, at + 4096)});
  }
  layout.flat_elements = second + (b + 63) / 64 * 64;
  layout.buckets = {{second, layout.flat_elements}, {0, second}};
  layout.lanes = 12;
  return layout;
}

TEST(Cuts, tile_every_bucket_without_gap_for_any_number_of_parts) {
  for (const std::int64_t size : {1, 7, 31, 32, 33, 1000, 1023, 4096, 4097, 65537}) {
    const FoldLayout layout = two_parameters(size, 40000);
    const auto blocks = find_blocks(layout);
    for (int parts = 1; parts <= 9; ++parts) {
      for (int b = 0; b < 2; ++b) {
        const auto cut = cut_blocks(layout, blocks[b], parts);
        std::int64_t at = layout.buckets[b].begin;
        for (int part = 0; part < parts; ++part) {
          ASSERT_LE(cut[part], cut[part + 1]);
          const Range range = elements_of(layout, b, blocks[b], cut[part], cut[part + 1]);
          if (range.size() == 0) continue;
          ASSERT_EQ(range.begin, at);
          at = range.end;
          ASSERT_LE(range.size(), layout.buckets[b].size() / parts + 4096 + 64);
        }
        ASSERT_EQ(at, layout.buckets[b].end);
      }
    }
  }
}

TEST(FoldPlan, keeps_bytes_as_the_ledger_says) {
  // One rank, lanes = 8: log2(8) = 3 slots (a leaf that meets its sibling needs none).
  FoldLayout layout = two_parameters(8192, 4096);
  layout.lanes = 8;
  const FoldPlan plan(make_topology({0}, 0), layout);
  EXPECT_EQ(plan.stores[0].slots, 3);
  EXPECT_EQ(plan.windows[0].slot_bytes, 4u * 12288);
  EXPECT_EQ(plan.scratch_bytes, 2u * 4 * 8192);
  EXPECT_EQ(plan.inbox_floats, 0);
}

}  // namespace
}  // namespace lockstep::comm
