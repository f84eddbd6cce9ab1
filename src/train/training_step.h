// One step: every lane dealt to this rank goes forward and backward, then the strategy folds the
// gradients and updates the parameters. Allocates nothing, prints nothing.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/data/loader.h"
#include "lockstep/nn/program.h"
#include "lockstep/parallel/replicated.h"
#include "train/streams.h"

namespace lockstep::train {

// What this rank asks of all ranks in this step's small message.
struct Requests {
  bool stop = false, save = false;
};

class TrainingStep {
 public:
  TrainingStep(nn::Program& program, data::Loader& loader, parallel::Replicated& strategy,
               Streams& streams, std::uint64_t seed, std::int64_t accumulate)
      : records_(strategy.all_lanes()),
        program_(program),
        loader_(loader),
        strategy_(strategy),
        streams_(streams),
        seed_(seed),
        accumulate_(accumulate) {}

  parallel::StepOutcome run(std::int64_t step, data::Position at, Requests requests);

 private:
  struct Job {
    std::int64_t step;
    data::Position at;
    Requests requests;
  };
  void run_lane(int stream, std::int64_t lane, const Job& job);

  std::vector<parallel::StepRecord> records_;  // by lane
  nn::Program& program_;
  data::Loader& loader_;
  parallel::Replicated& strategy_;
  Streams& streams_;
  const std::uint64_t seed_;
  const std::int64_t accumulate_;
};

}  // namespace lockstep::train
