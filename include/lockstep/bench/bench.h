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
  std::string version;              // of this program, for the sources of what calibrate finds
  std::vector<std::string> only;    // groups; empty: all
  const train::Run* run = nullptr;  // step, scaling, data: what is measured; null: a preset
  std::string preset = "mlp";       // step, scaling: on numbers in memory
};

Results bench_kernels(comm::Communicator& communicator, const Request& request);
Results bench_comm(comm::Communicator& communicator, const Request& request);
Results bench_data(comm::Communicator& communicator, const Request& request);
Results bench_step(comm::Communicator& communicator, const Request& request);
// The step on 1, 2, 4, ... of the ranks at hand: strong, the run's own batch; weak, a batch that
// grows with the ranks.
Results bench_scaling(comm::Communicator& communicator, const Request& request);
// This machine as the plan takes it, and the table of what was found with its spread. Rates are
// those of one rank alone; what ranks that work at once keep of them is Device::contention. About a
// minute with 2 ranks and seconds = 0.2.
struct Calibration {
  plan::Machine machine;
  Results results;
};
Calibration calibrate(comm::Communicator& communicator, const Request& request);

}  // namespace lockstep::bench
