#include "plan/choices.h"

#include <algorithm>
#include <limits>
#include <set>

#include "lockstep/core/error.h"

namespace lockstep::plan {
namespace {

// Ranks that the machine has room for: a machine of one level is one node.
std::int64_t capacity(const Job& job, const Machine& machine) {
  std::int64_t ranks = ranks_of_node(job, machine);
  if (machine.levels.size() < 2) return ranks;
  for (std::size_t i = 1; i < machine.levels.size(); ++i) {
    if (machine.levels[i].members == 0) return kMostRanks;
    ranks *= machine.levels[i].members;
  }
  return ranks;
}

std::vector<parallel::Options> strategies(const Job& job, const Layout& layout) {
  using parallel::Kind;
  if (job.parallel.kind == Kind::kServer || job.parallel.kind == Kind::kLocal)
    return {job.parallel};
  parallel::Options options = job.parallel;
  options.kind = Kind::kReplicated;
  std::vector<parallel::Options> all{options};
  if (layout.ranks == 1) return all;
  options.kind = Kind::kSharded;
  for (options.stage = 1; options.stage <= 3; ++options.stage) all.push_back(options);
  return all;
}

const Choice* least(const std::vector<Choice>& choices, auto&& before) {
  const Choice* best = nullptr;
  for (const Choice& choice : choices)
    if (choice.prediction.fits && (best == nullptr || before(choice, *best))) best = &choice;
  return best;
}

}  // namespace

std::int64_t ranks_of_node(const Job& job, const Machine& machine) {
  const std::int64_t devices = std::max<std::int64_t>(1, machine.device.per_node);
  if (machine.device.kind != "cpu") return devices;
  return std::max<std::int64_t>(1, devices / std::max<std::int64_t>(1, job.threads));
}

Layout layout_of(const Job& job, const Machine& machine, std::int64_t ranks) {
  return {ranks, std::min(ranks, ranks_of_node(job, machine))};
}

std::vector<std::int64_t> counts(const Job& job, const Machine& machine) {
  const std::int64_t most = std::min({job.lanes, capacity(job, machine), kMostRanks});
  std::set<std::int64_t> all{1};
  for (std::int64_t ranks = 1; ranks <= most; ranks *= 2) all.insert(ranks);
  for (std::int64_t part = 1; part * part <= job.lanes; ++part) {
    if (job.lanes % part != 0) continue;
    for (const std::int64_t ranks : {part, job.lanes / part})
      if (ranks <= most) all.insert(ranks);
  }
  const std::int64_t node = ranks_of_node(job, machine);
  for (std::int64_t ranks = node; ranks <= most; ranks *= 2) all.insert(ranks);
  return {all.begin(), all.end()};
}

std::optional<Choice> predicted(const Question& question, const Layout& layout,
                                const parallel::Options& parallel) {
  try {
    return Choice{layout, parallel,
                  question.options.predict(question.job, question.machine, layout, parallel)};
  } catch (const UserError&) {
    return std::nullopt;
  }
}

std::optional<Choice> chosen(const Question& question, const Layout& layout) {
  std::optional<Choice> last;
  for (const parallel::Options& options : strategies(question.job, layout)) {
    std::optional<Choice> choice = predicted(question, layout, options);
    if (!choice) continue;
    last = std::move(choice);
    if (last->prediction.fits) break;
  }
  return last;
}

std::vector<Choice> choices(const Question& question) {
  std::vector<Choice> all;
  for (const std::int64_t ranks : counts(question.job, question.machine))
    if (auto choice = chosen(question, layout_of(question.job, question.machine, ranks)))
      all.push_back(std::move(*choice));
  return all;
}

const Choice* largest_efficient(const std::vector<Choice>& choices, double efficiency) {
  const Choice* best = nullptr;
  for (const Choice& choice : choices)
    if (choice.prediction.fits && choice.prediction.efficiency >= efficiency) best = &choice;
  return best;
}

const Choice* smallest_within(const std::vector<Choice>& choices, double seconds) {
  for (const Choice& choice : choices)
    if (choice.prediction.fits && choice.prediction.seconds <= seconds) return &choice;
  return nullptr;
}

const Choice* smallest_fitting(const std::vector<Choice>& choices) {
  for (const Choice& choice : choices)
    if (choice.prediction.fits) return &choice;
  return nullptr;
}

const Choice* shortest(const std::vector<Choice>& choices) {
  return least(choices, [](const Choice& a, const Choice& b) {
    return a.prediction.seconds < b.prediction.seconds;
  });
}

}  // namespace lockstep::plan
