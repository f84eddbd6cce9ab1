// Everything that a run needs, built once: data, task, program, parameters, optimizer, strategy.
// Collective.
#pragma once
#include <memory>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/data/loader.h"
#include "lockstep/nn/program.h"
#include "lockstep/optim/optimizer.h"
#include "lockstep/parallel/strategy.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/run.h"
#include "train/algorithm_choice.h"
#include "train/data_facts.h"
#include "train/host_tensors.h"
#include "train/setup.h"
#include "train/streams.h"

namespace lockstep::train {

// What evaluation needs: no gradients, no optimizer.
struct Model {
  // split: the one that is trained on, or evaluated. facts: of the data that the model was trained
  // on, if that was not this split.
  Model(comm::Communicator& communicator, Device& device, const Run& run, const std::string& split,
        const DataFacts* facts);

  data::Manifest manifest;
  data::TokenizerModel tokenizer;  // of text
  Task task;
  AlgorithmChoice choice;
  nn::Program program;  // not bound to parameters yet
  Streams streams;
};

struct Session {
  Session(comm::Communicator& communicator, Device& device, const Run& run);

  std::uint64_t before = 0;  // resident bytes before anything was made
  Model model;
  double loader_began = 0, loader_ended = 0;  // being opened, on the clock of seconds_now()
  std::unique_ptr<data::Loader> loader;
  optim::Options optimizer_options;  // with the schedule's end filled in
  std::unique_ptr<parallel::Strategy> strategy;
  HostTensors host;  // of the strategy's state
  std::int64_t total_steps = 0;

  // For digest and checkpoint, as the device has it now.
  State state(const Progress& progress);
  State layout() const;  // as of every state(); its numbers are anything
  // Before the step at `at`, on all ranks: lanes may be dealt anew between nodes.
  void deal_lanes(data::Position at);
  // What has been written into the tensors of state() or host reaches the device and the strategy.
  void restored();
  std::vector<nn::LedgerRow> ledger() const;
};

}  // namespace lockstep::train
