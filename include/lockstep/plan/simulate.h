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
  // Rings only. Horovod's fusion: every `cycle` seconds the ranks agree on what is ready, by a
  // message of each to a coordinator, and it goes together up to `fusion_bytes`. 0: each bucket
  // alone, as soon as all ranks have it.
  double cycle = 0, fusion_bytes = 0;
  double message_latency = 0, message_overhead = 0;  // of the coordinator's messages
  // The host gives a device its work long before it is done, so that gradients are agreed on before
  // they are computed: what fits goes together, when the last of it is there.
  bool host_ahead = false;
  double element_bytes = 4;  // of a gradient on its way
};

struct SimulatedFailure {
  double at = 0;  // seconds from the start
  std::int64_t node = 0, step = 0;
  double lost = 0, restart = 0;  // seconds: work done again, and until steps go on
};

struct Simulated {
  std::vector<Phases> ranks;         // mean seconds of a step, by position
  std::vector<double> step_seconds;  // of each step played
  // Of each step played, by position; fewer positions than ranks stand for all of them in turn.
  std::vector<std::vector<Phases>> steps;
  double samples_per_second = 0;  // while it steps
  double seconds = 0;             // of the whole run with all that lies between
  double goodput = 0;             // useful seconds / seconds
  std::vector<SimulatedFailure> failures;
  std::vector<double> bytes_sent, bytes_read;  // in a step, by position: messages between nodes,
                                               // and from peers of the node
  std::int64_t checkpoint_steps = 0;           // between two; 0: one at the end, or none
  bool ends = true;                 // false: failures come so often that the run was given up
  std::vector<events::Ring> rings;  // the last step played, as a run's own rings: of 64 ranks, the
                                    // slowest among them
};

// Throws UserError where job, machine and layout do not go together. Where no rank differs from
// another the ranks of one node are played for all.
Simulated simulate(const Job& job, const Machine& machine, const Layout& layout,
                   const SimulateOptions& options);

}  // namespace lockstep::plan
