// What removes a bottleneck, and what makes a job fit: each change of the run, of its layout or of
// the machine is predicted, and only what then gains is named.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "plan/choices.h"

namespace lockstep::plan {

struct Gain {
  std::string text;    // "train.precision=bf16"
  std::string caveat;  // "it learns differently"; empty: the same run
  double ratio = 1;    // of samples/s, changed by unchanged
};

// Gains of kLeastGain or more, the largest first. `tried`: all that was looked at.
inline constexpr double kLeastGain = 1.05;
struct Gains {
  std::vector<Gain> found;
  std::vector<std::string> tried;
};
Gains gains(const Question& question, const Choice& choice);

// The run with keys set, where it can be read and made so.
std::optional<Job> remade(const Question& question, const std::vector<std::string>& overrides);

// Least changes with which a job fits that no choice holds: keys of the run file, more nodes, fewer
// ranks on a node. At most two.
struct Fit {
  std::string text;  // "train.recompute=block"
  Choice choice;
};
std::vector<Fit> what_would_fit(const Question& question);

}  // namespace lockstep::plan
