// Which numbers of ranks a machine takes and a job allows, and the strategy that each would have.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "lockstep/plan/advice.h"

namespace lockstep::plan {

// A run that ends in so many seconds is not worth a second process, unless less is asked for.
inline constexpr double kShortRun = 15 * 60;
inline constexpr std::int64_t kMostRanks = 16384;

struct Choice {
  Layout layout;
  parallel::Options parallel;
  Prediction prediction;
};

// What all looks at alternatives go through.
struct Question {
  const Job& job;
  const Machine& machine;
  const AdviceOptions& options;
};

std::int64_t ranks_of_node(const Job& job, const Machine& machine);
Layout layout_of(const Job& job, const Machine& machine, std::int64_t ranks);
// Powers of two, divisors of the lanes, whole nodes: up to the lanes, to what the machine has, to
// kMostRanks.
std::vector<std::int64_t> counts(const Job& job, const Machine& machine);

// None where job and layout do not go together.
std::optional<Choice> predicted(const Question& question, const Layout& layout,
                                const parallel::Options& parallel);
// Replicated, else the lowest stage of sharding that fits; a server or local run stays what it is.
// Where none fits, the last one, with fits = false; none where none goes with the layout.
std::optional<Choice> chosen(const Question& question, const Layout& layout);

// The choice of every count.
std::vector<Choice> choices(const Question& question);
// The largest count that fits and works at `efficiency` at least, or none.
const Choice* largest_efficient(const std::vector<Choice>& choices, double efficiency);
// The smallest count that fits and ends within so many seconds, or none.
const Choice* smallest_within(const std::vector<Choice>& choices, double seconds);
// The smallest count that fits, or none; and the one that ends first.
const Choice* smallest_fitting(const std::vector<Choice>& choices);
const Choice* shortest(const std::vector<Choice>& choices);

}  // namespace lockstep::plan
