// Positions from the node of each rank. Knows neither MPI nor hosts.
#pragma once
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"

namespace lockstep::comm {

// node_of_rank: any number per node. Nodes come in order of their lowest rank (NUMERICS.md 20).
Topology make_topology(const std::vector<int>& node_of_rank, int rank);

// "0,1,1" -> {0, 1, 1}; throws UserError unless there is one number for each of `ranks`.
std::vector<int> parse_pretended_nodes(const std::string& text, int ranks);

// Each rank of the marked nodes becomes a node of its own; positions stay.
Topology split_nodes(const Topology& topology, const std::vector<bool>& split);

}  // namespace lockstep::comm
