// What lies between two nodes, measured: how long a message takes and how many bytes a second go
// through. Knows nothing of what will be sent.
#pragma once
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

}  // namespace lockstep::comm
