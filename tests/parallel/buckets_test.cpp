#include "lockstep/parallel/buckets.h"

#include <gtest/gtest.h>

#include <functional>

#include "lockstep/parallel/strategy.h"

namespace lockstep::parallel {
namespace {

ParameterTable table_of(const std::vector<std::int64_t>& sizes) {
  ParameterTable table;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    table.add("p" + std::to_string(i), Shape{sizes[i]}, ParameterKind::kWeight, Init::kZeros);
  return table;
}

TEST(Buckets, cover_the_table_from_its_end_and_never_split_a_run) {
  const ParameterTable table = table_of({1000, 10, 5000, 31, 33, 1, 20000, 7});
  const std::vector<std::pair<int, int>> runs{{0, 2}, {2, 4}, {4, 5}, {5, 8}};
  for (const std::int64_t bytes : {1, 4096, 20000, 40000, 1 << 20}) {
    const auto buckets = make_buckets(table, runs, bytes);
    int end = table.size();
    for (const Bucket& b : buckets) {
      EXPECT_EQ(b.end, end);
      EXPECT_TRUE(b.first == 0 || b.first == 2 || b.first == 4 || b.first == 5);
      EXPECT_EQ(b.range.begin, table[b.first].offset);
      const Parameter& last = table[b.end - 1];
      EXPECT_EQ(b.range.end, (last.offset + last.elements + 63) / 64 * 64);
      end = b.first;
    }
    EXPECT_EQ(end, 0);
  }
  EXPECT_EQ(make_buckets(table, runs, 1).size(), 4u);
  EXPECT_EQ(make_buckets(table, runs, 1 << 20).size(), 1u);
}

TEST(BucketSize, on_one_node_is_a_constant_that_makes_enough_buckets) {
  const comm::Links none;
  EXPECT_EQ(choose_bucket_bytes(none, 1 << 30), 4 << 20);
  EXPECT_EQ(choose_bucket_bytes(none, 32 << 20), 4 << 20);
  EXPECT_EQ(choose_bucket_bytes(none, (32 << 20) - 4), 2 << 20);
  EXPECT_EQ(choose_bucket_bytes(none, 1000), 256 << 10);
  EXPECT_EQ(choose_bucket_bytes(none, 0), 256 << 10);
}

// The definition, tried size by size.
TEST(BucketSize, between_nodes_is_the_least_whose_latency_is_a_twentieth) {
  for (const double latency : {0.5e-6, 2e-6, 21e-6, 50e-6, 1e-3}) {
    for (const double bandwidth : {0.1e9, 1.2e9, 8.1e9, 48e9}) {
      std::int64_t least = 256 << 10;
      while (least < 8 << 20 && latency > 0.05 * (latency + static_cast<double>(least) / bandwidth))
        least *= 2;
      EXPECT_EQ(choose_bucket_bytes({latency, bandwidth}, std::int64_t{1} << 33), least)
          << latency << " " << bandwidth;
    }
  }
  EXPECT_EQ(choose_bucket_bytes({21e-6, 8.1e9}, 1 << 30), 4 << 20);
  EXPECT_EQ(choose_bucket_bytes({21e-6, 8.1e9}, 9 << 20), 1 << 20);  // eight buckets
}

TEST(FoldInTree, adds_siblings_and_skips_absent_lanes) {
  for (const std::size_t lanes : {1u, 2u, 3u, 5u, 8u, 12u}) {
    std::vector<StepRecord> leaves(lanes);
    for (std::size_t i = 0; i < lanes; ++i) {
      leaves[i].lane.sums[0] = 1.0 / static_cast<double>(i + 3);
      leaves[i].lane.counts[0] = static_cast<std::int64_t>(i);
      leaves[i].stop_requests = i == 2;
    }
    // The tree written as its definition: node(k, i) = node(k-1, 2i) + node(k-1, 2i+1).
    const std::function<double(int, std::size_t)> node = [&](int level,
                                                             std::size_t index) -> double {
      if (level == 0) return 1.0 / static_cast<double>(index + 3);
      const double left = node(level - 1, 2 * index);
      return ((2 * index + 1) << (level - 1)) < lanes ? left + node(level - 1, 2 * index + 1)
                                                      : left;
    };
    int level = 0;
    while ((1u << level) < lanes) ++level;
    const StepRecord total = fold_in_tree(leaves);
    EXPECT_EQ(total.lane.sums[0], node(level, 0)) << lanes;
    EXPECT_EQ(total.lane.counts[0], static_cast<std::int64_t>(lanes * (lanes - 1) / 2));
    EXPECT_EQ(total.stop_requests, lanes > 2 ? 1 : 0);
  }
}

}  // namespace
}  // namespace lockstep::parallel
