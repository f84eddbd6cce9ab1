// What this machine gives at most, measured beside what is compared with it. Knows no kernel of a
// model.
#pragma once
#include "lockstep/comm/communicator.h"
#include "lockstep/device/device.h"

namespace lockstep::bench {

// Of one rank (a core, or its device) while all ranks are at work; of the slowest of them.
struct Ceilings {
  double fp32 = 0, bf16 = 0;  // flop/s. cpu: multiply-adds of one core; cuda: the largest product
  double bandwidth = 0;       // bytes/s, read and written, of arrays that no cache holds
};

// Collective. seconds: for each of the figures.
Ceilings measure_ceilings(comm::Communicator& communicator, Device& device, double seconds);

}  // namespace lockstep::bench
