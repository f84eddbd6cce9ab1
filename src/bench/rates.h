// How fast this machine's kernels run, at the sizes that models are made of: the rates that a plan
// computes with (plan/cost.h).
#pragma once
#include <string>
#include <vector>

#include "lockstep/bench/bench.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/plan/machine.h"

namespace lockstep::bench {

// Collective, all ranks at work at once. Appends to device.rates what one rank alone would have, and
// sets device.overhead and what ranks of a node keep (device.contention, of as many as there are).
// kernels: which; empty: all. On a cpu a kernel's time is that of its thread on a processor,
// whatever else runs. Takes about 25 s with request.seconds = 0.2; below 0.05 one size in sixteen is
// measured. Throws UserError where request.device is not there.
void measure_kernel_rates(comm::Communicator& communicator, const Request& request,
                          plan::Device& device, const std::vector<std::string>& kernels = {});

}  // namespace lockstep::bench
