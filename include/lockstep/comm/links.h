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

// A link by LogGP (Alexandrov et al. 1995), measured with small messages of 8 bytes and large ones
// of 1 MiB between the first pair, alone.
struct LogGp {
  struct Measured {
    double value = 0, spread = 0;  // the best; interquartile range / median of all
  };
  Measured latency;         // L: half a ping-pong without the overheads, seconds
  Measured overhead;        // o: of the processor, mean of a send's and of a receive's, seconds
  Measured gap;             // g: of a burst of 64 small messages that is acknowledged, seconds
  Measured bandwidth;       // 1 / G: of 8 large messages that are acknowledged, bytes/s
  Measured unit_bandwidth;  // of all pairs of two nodes at once; in a node: of all its pairs
  bool verified = true;     // the bytes arrived as they were sent
};
// Collective; about five times so many seconds. Every rank gets the figures of rank 0's pair; all
// zero where there is no pair.
LogGp measure_loggp(Communicator& communicator, PairsOf which, double seconds);

}  // namespace lockstep::comm
