// Which two ranks talk while links are measured.
#pragma once
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/links.h"

namespace lockstep::comm {

struct LinkPair {
  int peer = -1;      // rank
  bool asks = false;  // the other one answers
};

// In turns 0 and 1, so that a rank talks to one peer at a time: a place and its neighbour in the
// same node (the last of an odd number has none), or the rank with the same place on the next node
// (asks) or on the one before.
LinkPair link_pair(const Topology& topology, PairsOf which, int turn);

double median_of(std::vector<double> values);

}  // namespace lockstep::comm
