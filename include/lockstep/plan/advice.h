// The plan in words: whether one process is enough, which strategy and how many ranks beyond that,
// what holds the run back and what removes it. Numbers in, sentences out; a claim about a change is
// what predict() says of the changed run, never a rule of thumb.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/plan/predict.h"

namespace lockstep::plan {

struct Advice {
  bool one_is_enough = false;
  std::int64_t ranks = 1, ranks_per_node = 1;  // what it would take
  parallel::Options parallel;
  std::vector<std::string> sentences;  // the answer first, then why, each with its numbers
};

using Predict = std::function<Prediction(const Job&, const Machine&, const Layout&,
                                         const parallel::Options&)>;

struct AdviceOptions {
  double within = 0;            // seconds in which the run is to end; 0: no wish
  std::optional<Layout> asked;  // --ranks: what is said of a step is said of this layout
  // The same run with keys of its file set ("train.precision=bf16"): what a change would bring is
  // predicted of it. Throws Error where they do not go together. None: changes of the run file are
  // not looked at.
  std::function<Job(const std::vector<std::string>& overrides)> remade;
  Predict predict = plan::predict;
};

Advice advise(const Job& job, const Machine& machine, const AdviceOptions& options = {});
// What can be said without a machine: sizes, flop, a closed form; no times.
Advice advise_without_times(const Job& job);
// A sentence a line, those of more than 100 columns on several.
std::string advice_text(const Advice& advice);
// What a step waits for, with its share: "Arithmetic is the bottleneck: 93 % of a step of 45.1 ms.".
std::string bottleneck_text(const Job& job, const Prediction& prediction);

}  // namespace lockstep::plan
