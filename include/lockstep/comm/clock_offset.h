// How far apart the clocks of two hosts are, so that what their ranks have recorded can be put in
// one order. Knows nothing of what was recorded.
#pragma once
#include <cstdint>

#include "lockstep/comm/communicator.h"

namespace lockstep::comm {

struct ClockOffset {
  // To be added to this rank's CLOCK_MONOTONIC to get rank 0's, and how far off that may be: half
  // the quickest way there and back (Cristian 1989). Nanoseconds; both 0 on rank 0's own host.
  std::int64_t offset = 0, error = 0;
};

// Collective; some 20 small messages with one rank of each other host.
ClockOffset measure_clock(Communicator& communicator);

}  // namespace lockstep::comm
