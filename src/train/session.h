// Everything that a run needs, built once: data, task, program, parameters, optimizer, strategy.
// Collective.
#pragma once
#include <memory>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/data/loader.h"
#include "lockstep/nn/program.h"
#include "lockstep/optim/optimizer.h"
#include "lockstep/parallel/replicated.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/run.h"
#include "train/setup.h"
#include "train/streams.h"

namespace lockstep::train {

// What evaluation needs: no gradients, no optimizer.
struct Model {
  Model(comm::Communicator& communicator, const Run& run);

  data::Manifest manifest;
  Task task;
  nn::Program program;
  Buffer flat;  // the parameters
  Streams streams;
};

struct Session {
  Session(comm::Communicator& communicator, const Run& run);

  Model model;
  std::unique_ptr<data::Loader> loader;
  optim::Options optimizer_options;  // with the schedule's end filled in
  optim::Optimizer optimizer;
  parallel::Replicated strategy;
  std::int64_t total_steps = 0;

  State state(const Progress& progress) const;  // for digest and checkpoint
  std::vector<nn::LedgerRow> ledger() const;
};

}  // namespace lockstep::train
