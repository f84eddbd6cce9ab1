// The text of parallel.pretend_nodes from the node of each rank.
#pragma once
#include <fmt/ranges.h>

#include <string>
#include <vector>

namespace lockstep::test {

template <class NodeOfRank>
std::string node_list(int ranks, NodeOfRank node_of_rank) {
  std::vector<int> nodes;
  for (int rank = 0; rank < ranks; ++rank) nodes.push_back(node_of_rank(rank));
  return fmt::format("{}", fmt::join(nodes, ","));
}

}  // namespace lockstep::test
