// A plan as tables of at most 100 columns. Numbers in, text out; every line ends in a newline.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lockstep/plan/predict.h"

namespace lockstep::plan {

// One way of holding parameters on one layout: its memory, and its times where a machine is known;
// or why it is not to be had.
struct PlannedWay {
  Layout layout;
  parallel::Options parallel;
  std::vector<nn::LedgerRow> memory;
  std::optional<Prediction> prediction;
  std::string refusal;
};
std::string way_name(const parallel::Options& parallel);  // "replicated", "stage 2", "local"

// The run's own strategy, and of replicated and the three stages of sharding those that it is not.
// machine: null where no times are to be had.
std::vector<PlannedWay> plan_ways(const Job& job, const Machine* machine, const Layout& layout);

std::string job_text(const Job& job);  // parameters, batch, steps, flop and bytes
// Rows of the fullest rank, a column a way; of one layout.
std::string memory_text(const Job& job, const std::vector<PlannedWay>& ways);
// A row a layout and way: seconds of a step by phase, samples/s, time to finish.
std::string steps_text(const Job& job, const std::vector<PlannedWay>& ways);
std::string scaling_text(const Job& job, const std::vector<Prediction>& series, Scaling kind);
std::string checkpoint_text(const Job& job, const Prediction& prediction);

}  // namespace lockstep::plan
