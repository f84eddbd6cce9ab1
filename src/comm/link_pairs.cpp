#include "link_pairs.h"

#include <algorithm>

namespace lockstep::comm {
namespace {

LinkPair pair_in_node(const Topology& topology, int turn) {
  const int local = topology.local(), first = topology.node_begin[topology.node()];
  const bool asks = local % 2 == turn;
  const int other = asks ? local + 1 : local - 1;
  if (other < 0 || other >= topology.local_ranks()) return {};
  return {topology.rank_at[first + other], asks};
}

LinkPair pair_between_nodes(const Topology& topology, int turn) {
  const int node = topology.node(), local = topology.local();
  const bool asks = node % 2 == turn;
  const int other = asks ? node + 1 : node - 1;
  if (other < 0 || other >= topology.nodes()) return {};
  const int first = topology.node_begin[other];
  if (local >= topology.node_begin[other + 1] - first) return {};
  return {topology.rank_at[first + local], asks};
}

}  // namespace

LinkPair link_pair(const Topology& topology, PairsOf which, int turn) {
  return which == PairsOf::kNode ? pair_in_node(topology, turn)
                                 : pair_between_nodes(topology, turn);
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace lockstep::comm
