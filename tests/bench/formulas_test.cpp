// The formulas that docs/benchmarks.md tells, and which rows --only asks for.
#include <gtest/gtest.h>

#include "bench/comm_parts.h"
#include "bench/kernel.h"
#include "bench/preset_step.h"
#include "bench/rank_device.h"
#include "lockstep/core/error.h"

namespace lockstep::bench {
namespace {

// nccl-tests, doc/PERFORMANCE.md.
TEST(Formulas, bus_bandwidth_is_that_of_nccl_tests) {
  EXPECT_DOUBLE_EQ(bus_factor(Collective::kAllreduce, 2), 1);
  EXPECT_DOUBLE_EQ(bus_factor(Collective::kAllreduce, 8), 1.75);
  EXPECT_DOUBLE_EQ(bus_factor(Collective::kReduceScatter, 8), 0.875);
  EXPECT_DOUBLE_EQ(bus_factor(Collective::kAllgather, 4), 0.75);
  EXPECT_DOUBLE_EQ(bus_factor(Collective::kBroadcast, 4), 1);
}

TEST(Formulas, a_window_has_as_many_messages_as_osu_bw_up_to_16_mib) {
  EXPECT_EQ(messages_of_window(8), 64);
  EXPECT_EQ(messages_of_window(256 << 10), 64);
  EXPECT_EQ(messages_of_window(4 << 20), 4);
  EXPECT_EQ(messages_of_window(64 << 20), 1);
}

TEST(Formulas, pairs_are_the_first_of_a_node_and_of_neighbouring_nodes) {
  comm::Topology topology;
  topology.node_begin = {0, 1, 3};  // nodes of one rank and of two
  const auto pairs = pairs_of(topology);
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(pairs[0].level, "node");
  EXPECT_EQ(pairs[0].asks, 1);
  EXPECT_EQ(pairs[0].answers, 2);
  EXPECT_EQ(pairs[1].level, "network");
  EXPECT_EQ(pairs[1].asks, 0);
  EXPECT_EQ(pairs[1].answers, 1);
}

TEST(Only, takes_groups_and_the_beginnings_of_rows) {
  EXPECT_TRUE(wanted({}, "gemm", "64 x 64"));
  EXPECT_TRUE(wanted({"norm", "gemm"}, "gemm", "64 x 64"));
  EXPECT_TRUE(wanted({"gemm 64"}, "gemm", "64 x 64"));
  EXPECT_FALSE(wanted({"gemm 128"}, "gemm", "64 x 64"));
  EXPECT_FALSE(wanted({"norm"}, "gemm", "64 x 64"));
  EXPECT_NO_THROW(require_some({"a", "b 7"}, std::vector<std::string>{"a", "b"}));
  EXPECT_THROW(require_some({"c"}, std::vector<std::string>{"a", "b"}), UserError);
}

TEST(PresetStep, lanes_divide_the_batch) {
  EXPECT_EQ(complete({.model = "mlp"}).lanes, 8);
  EXPECT_EQ(complete({.model = "cosmoflow"}).lanes, 2);
  EXPECT_EQ(complete({.model = "gpt2-124m"}).batch, 4);
  EXPECT_THROW(complete({.model = "mpl"}), UserError);
  EXPECT_THROW(complete({.model = "mlp", .batch = 10, .lanes = 3}), UserError);
}

}  // namespace
}  // namespace lockstep::bench
