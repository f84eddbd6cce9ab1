#include "report/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace lockstep::report {

const std::vector<PhaseName>& step_phases() {
  static const std::vector<PhaseName> phases{{"compute", "compute", 0},
                                             {"fold", "adding gradients", 2},
                                             {"exposed", "waiting for ranks", 1},
                                             {"data", "waiting for data", 4},
                                             {"other", "evaluation, saving, other", 7}};
  return phases;
}

Unit seconds_unit() { return {"s", Prefixes::kTime}; }
Unit bytes_unit() { return {"B", Prefixes::kBinary}; }

void tell_apart(Runs& runs) {
  const auto doubled = [&runs] {
    std::set<std::string> labels;
    for (const RunFolder& run : runs) labels.insert(run.label);
    return labels.size() < runs.size();
  };
  if (doubled())
    for (RunFolder& run : runs) run.label = run.path.string();
  std::set<std::int64_t> ranks;
  for (const RunFolder& run : runs) ranks.insert(run.ranks());
  if (ranks.size() < 2) return;
  for (RunFolder& run : runs) {
    if (run.ranks() > 0)
      run.label += fmt::format(" ({} rank{})", run.ranks(), run.ranks() == 1 ? "" : "s");
  }
}

std::vector<Mark> event_marks(const Runs& runs) {
  constexpr std::size_t kMost = 100;
  std::vector<Mark> marks;
  for (const RunFolder& run : runs) {
    for (const Event& event : run.events) {
      if (marks.size() == kMost) return marks;
      marks.push_back(
          {static_cast<double>(event.step),
           fmt::format("{}step {}, {}: {}", runs.size() > 1 ? run.label + ", " : std::string(),
                       event.step, event.what, event.why)});
    }
  }
  return marks;
}

}  // namespace lockstep::report
