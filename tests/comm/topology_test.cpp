#include "comm/topology.h"

#include <gtest/gtest.h>

#include "lockstep/core/error.h"

namespace lockstep::comm {
namespace {

TEST(Topology, numbers_positions_by_lowest_rank_of_the_node_then_local_rank) {
  const Topology round_robin = make_topology({7, 3, 7, 3, 7}, 3);
  EXPECT_EQ(round_robin.rank_at, (std::vector<int>{0, 2, 4, 1, 3}));
  EXPECT_EQ(round_robin.node_of, (std::vector<int>{0, 0, 0, 1, 1}));
  EXPECT_EQ(round_robin.node_begin, (std::vector<int>{0, 3, 5}));
  EXPECT_EQ(round_robin.position, 4);
  EXPECT_EQ(round_robin.node(), 1);
  EXPECT_EQ(round_robin.local(), 1);
  EXPECT_EQ(round_robin.local_ranks(), 2);
}

TEST(Topology, gives_each_rank_of_a_split_node_a_node_of_its_own) {
  const Topology split = split_nodes(make_topology({0, 0, 1, 1, 2}, 3), {false, true, false});
  EXPECT_EQ(split.node_begin, (std::vector<int>{0, 2, 3, 4, 5}));
  EXPECT_EQ(split.node_of, (std::vector<int>{0, 0, 1, 2, 3}));
  EXPECT_EQ(split.position, 3);
}

TEST(PretendedNodes, are_one_number_per_rank) {
  EXPECT_EQ(parse_pretended_nodes("0,1,1", 3), (std::vector<int>{0, 1, 1}));
  for (const char* wrong : {"0,1", "0,1,1,1", "0,,1", "0,a,1", "0,1,-1", "", "0,1,1,"}) {
    EXPECT_THROW(parse_pretended_nodes(wrong, 3), UserError) << wrong;
  }
}

}  // namespace
}  // namespace lockstep::comm
