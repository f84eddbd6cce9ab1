// What lies between two nodes or two ranks, measured: how long a message takes and how many bytes a
// second go through. Knows nothing of what will be sent.
#pragma once
#include <cstdint>

#include "lockstep/comm/communicator.h"

namespace lockstep::comm {

// Between two neighbouring nodes while all of their ranks talk at once; all zero on one node.
struct Links {
  double latency = 0;    // seconds that a small message takes, one way
  double bandwidth = 0;  // bytes per second from one node to the other
  bool operator==(const Links&) const = default;
};

// Collective; a few milliseconds, and nothing on one node. Every rank gets the same figures, those
// of rank 0: medians over the pairs of neighbouring nodes.
Links measure_links(Communicator& communicator);

// Between pairs of ranks: all pairs talk at once, each rank to one peer at a time.
struct PairLinks {
  Links median;                        // over pairs
  Links worst;                         // the greatest latency and the least bandwidth
  int slow_rank = -1, slow_peer = -1;  // of the least bandwidth; -1: there is no pair
};
enum class PairsOf : std::uint8_t { kNode, kNeighbouringNodes };
// Collective. All zero where there is no such pair. Every rank gets the figures of rank 0.
PairLinks measure_pairs(Communicator& communicator, PairsOf which);

}  // namespace lockstep::comm
