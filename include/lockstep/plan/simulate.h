// Plays a run out, op by op and message by message: LogGP for messages, levels of topology that
// ranks share, stragglers and failures drawn from stated rates. One seed, one outcome.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lockstep/core/event_file.h"
#include "lockstep/plan/job.h"
#include "lockstep/plan/machine.h"
#include "lockstep/plan/predict.h"

namespace lockstep::plan {

// How buckets become sums: as this program does it, or as others do, for comparison with what is
// published of them.
enum class Exchange : std::uint8_t {
  kLanes,        // the job's strategy
  kRing,         // ring allreduce over all ranks (Patarasuk & Yuan 2009), as Horovod and NCCL
  kTwoLevelRing  // rings within nodes, then between them
};

struct SimulateOptions {
  std::uint64_t seed = 1;
  std::int64_t steps = 20;  // that are played op by op; the rest of the run follows their mean
  Exchange exchange = Exchange::kLanes;
  bool failures = true;
};

struct SimulatedFailure {
  double at = 0;  // seconds from the start
  std::int64_t node = 0, step = 0;
  double lost = 0, restart = 0;  // seconds: work done again, and until steps go on
};

struct Simulated {
  std::vector<Phases> ranks;         // mean seconds of a step, by position
  std::vector<double> step_seconds;  // of each step played
  double samples_per_second = 0;     // while it steps
  double seconds = 0;                // of the whole run with all that lies between
  double goodput = 0;                // useful seconds / seconds
  std::vector<SimulatedFailure> failures;
  std::vector<events::Ring> rings;  // the last step played, as a run's own rings
};

// Throws UserError where job, machine and layout do not go together.
Simulated simulate(const Job& job, const Machine& machine, const Layout& layout,
                   const SimulateOptions& options);

}  // namespace lockstep::plan
