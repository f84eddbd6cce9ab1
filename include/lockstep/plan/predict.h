// What a run will need and take on a machine: seconds of a step by phase, memory by rank, time to
// finish. Formulas alone, so that 16,384 ranks cost no more than one; simulate.h plays it out.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/plan/job.h"
#include "lockstep/plan/machine.h"

namespace lockstep::plan {

// Seconds of a step on the rank that takes longest, by the names of the run's own report.
struct Phases {
  double compute = 0;  // forward, backward, update
  double fold = 0;     // adding
  double exposed = 0;  // waiting for other ranks
  double hidden = 0;   // messages in flight while it computed: no part of the sum
  double data = 0;     // waiting for samples
  double other = 0;
  double total() const { return compute + fold + exposed + data + other; }
};

enum class Bottleneck : std::uint8_t {
  kCompute,
  kMemoryBandwidth,
  kOverhead,
  kFold,
  kNetwork,
  kData,
  kBalance
};

struct Prediction {
  Layout layout;
  parallel::Options parallel;
  std::int64_t lanes = 0, batch = 0;
  Phases step;
  double samples_per_second = 0;
  double efficiency = 0;              // of samples/s, against one rank with the same microbatch
  double seconds = 0;                 // of the whole run: steps, evaluations, checkpoints
  std::vector<nn::LedgerRow> memory;  // of the fullest rank
  double rank_memory = 0;             // on its device, where that has memory of its own
  double host_memory = 0;             // of the fullest rank
  double node_memory = 0;             // of the fullest node's host
  bool fits = true;                   // as far as the machine's memory is known
  double bytes_sent = 0;              // by a rank in a step
  double checkpoint_seconds = 0;      // that writing one takes
  double checkpoint_interval = 0;     // Young 1974, Daly 2006: sqrt(2 * checkpoint * mtbf)
  Bottleneck bottleneck = Bottleneck::kCompute;
};

Prediction predict(const Job& job, const Machine& machine, const Layout& layout,
                   const parallel::Options& parallel);

// Strong: the run's own batch on 1, 2, 4, ... ranks up to its lanes. Weak: a lane (or as many as
// one rank has) for each rank, so that the batch grows.
enum class Scaling : std::uint8_t { kStrong, kWeak };
std::vector<Prediction> scaling(const Job& job, const Machine& machine, Scaling kind,
                                std::int64_t most_ranks, std::int64_t ranks_per_node,
                                const parallel::Options& parallel);

}  // namespace lockstep::plan
