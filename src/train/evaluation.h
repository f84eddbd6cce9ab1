// Evaluates a split: every sample exactly once, in fixed order, with the run's lanes and
// microbatch, padding masked to +0; the same bits on any number of ranks (NUMERICS.md 6).
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/node_store.h"
#include "lockstep/data/loader.h"
#include "lockstep/nn/program.h"
#include "lockstep/ops/loss.h"
#include "lockstep/parallel/strategy.h"
#include "train/streams.h"

namespace lockstep::train {

struct Evaluation {
  std::int64_t samples = 0;
  double loss = 0;
  std::vector<std::pair<std::string, double>> metrics;
  // "loss" or a metric's name. Throws UserError if the run does not measure it.
  double value(const std::string& name) const;
};

// Lanes are dealt evenly to the strategy's evaluators, or, without one, to all positions; a rank's
// lanes are its streams' ranges.
Evaluation evaluate(comm::Communicator& communicator, nn::Program& program, Streams& streams,
                    data::RowReader& reader, std::int64_t lanes,
                    parallel::Strategy* strategy = nullptr);

std::string values_text(const Evaluation& e);  // "loss 0.1234, accuracy 0.9876"

// Mean loss and metrics of a folded record.
Evaluation summarise(const nn::ProgramOptions& options, const ops::LaneRecord& folded);

}  // namespace lockstep::train
