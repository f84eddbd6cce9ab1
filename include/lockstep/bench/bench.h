// The subcommands of `lockstep bench`. Collective: every rank calls with the same arguments and
// gets the same results. Each checks what it times against a naive form first.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/bench/results.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/plan/machine.h"
#include "lockstep/train/run.h"

namespace lockstep::bench {

struct Request {
  std::string device = "cpu";       // as run.device
  std::string folder = ".";         // whose file system is measured; nothing stays there
  double seconds = 0.2;             // for each row
  std::vector<std::string> only;    // groups; empty: all
  const train::Run* run = nullptr;  // step, scaling, data: what is measured
};

Results bench_kernels(comm::Communicator& communicator, const Request& request);
Results bench_comm(comm::Communicator& communicator, const Request& request);
Results bench_data(comm::Communicator& communicator, const Request& request);
Results bench_step(comm::Communicator& communicator, const Request& request);
// The step on 1, 2, 4, ... of the ranks at hand: strong, the run's own batch; weak, a batch that
// grows with the ranks.
Results bench_scaling(comm::Communicator& communicator, const Request& request);
// This machine as the plan takes it, measured with all ranks of the communicator at work.
plan::Machine calibrate(comm::Communicator& communicator, const Request& request);

}  // namespace lockstep::bench
