#include "topology.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "lockstep/core/error.h"

namespace lockstep::comm {

Topology make_topology(const std::vector<int>& node_of_rank, int rank) {
  std::map<int, int> lowest;  // node -> its lowest rank
  const int ranks = static_cast<int>(node_of_rank.size());
  for (int r = ranks - 1; r >= 0; --r) lowest[node_of_rank[r]] = r;
  Topology topology;
  for (int r = 0; r < ranks; ++r) topology.rank_at.push_back(r);
  std::stable_sort(topology.rank_at.begin(), topology.rank_at.end(),
                   [&](int a, int b) { return lowest[node_of_rank[a]] < lowest[node_of_rank[b]]; });
  for (int position = 0; position < ranks; ++position) {
    const int here = topology.rank_at[position];
    if (here == rank) topology.position = position;
    const bool first =
        position == 0 || node_of_rank[here] != node_of_rank[topology.rank_at[position - 1]];
    if (first) topology.node_begin.push_back(position);
    topology.node_of.push_back(static_cast<int>(topology.node_begin.size()) - 1);
  }
  topology.node_begin.push_back(ranks);
  return topology;
}

std::vector<int> parse_pretended_nodes(const std::string& text, int ranks) {
  std::vector<int> nodes;
  const char* at = text.data();
  const char* const end = at + text.size();
  bool well_formed = true;
  while (well_formed && at != end) {
    int node = 0;
    const auto [next, error] = std::from_chars(at, end, node);
    well_formed = error == std::errc{} && node >= 0 && (next == end || *next == ',');
    nodes.push_back(node);
    well_formed = well_formed && next + 1 != end;
    at = next == end ? end : next + 1;
  }
  if (!well_formed || static_cast<int>(nodes.size()) != ranks) {
    throw UserError(
        "parallel.pretend_nodes = \"{}\" does not name the node of each of the {} ranks: write "
        "{} numbers with commas, like \"0,1,1\" for 3 ranks",
        text, ranks, ranks);
  }
  return nodes;
}

Topology split_nodes(const Topology& topology, const std::vector<bool>& split) {
  Topology result = topology;
  result.node_of.clear();
  result.node_begin.clear();
  for (int position = 0; position < topology.ranks(); ++position) {
    const int node = topology.node_of[position];
    if (split[node] || topology.node_begin[node] == position) result.node_begin.push_back(position);
    result.node_of.push_back(static_cast<int>(result.node_begin.size()) - 1);
  }
  result.node_begin.push_back(topology.ranks());
  return result;
}

}  // namespace lockstep::comm
