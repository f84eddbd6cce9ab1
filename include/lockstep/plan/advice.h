// The plan in words: whether one process is enough, which strategy and how many ranks beyond that,
// what holds the run back and what removes it. Numbers in, sentences out.
#pragma once
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

Advice advise(const Job& job, const Machine& machine);
// A sentence that names it, with its share, and what would remove it.
std::string bottleneck_text(const Job& job, const Prediction& prediction);

}  // namespace lockstep::plan
