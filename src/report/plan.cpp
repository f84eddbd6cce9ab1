// What `lockstep plan` said before the run beside what happened.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/sections.h"

namespace lockstep::report {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Compared {
  std::string what;
  double planned = kNaN, happened = kNaN;
  Unit unit;
};

std::vector<Compared> compared(const RunFolder& run) {
  const train::PlannedRecord& plan = *run.planned;
  const auto times = step_times(run);
  std::vector<Compared> rows;
  double steps_only = 0;
  for (const PhaseName& phase : step_phases()) {
    const auto planned = plan.step.find(phase.key);
    double happened = kNaN;
    if (times) {
      const auto found = times->mean.find(phase.key);
      happened = found == times->mean.end() ? 0 : found->second;
      if (std::string_view(phase.key) != "other") steps_only += happened;
    }
    rows.push_back({phase.name, planned == plan.step.end() ? kNaN : planned->second, happened,
                    seconds_unit()});
  }
  rows.push_back({"a step, all phases but the last", plan.step_seconds, times ? steps_only : kNaN,
                  seconds_unit()});
  rows.push_back({"throughput",
                  plan.samples_per_second,
                  samples_per_second(run),
                  {"samples/s", Prefixes::kSi}});
  if (run.record && !run.record->peak_memory.empty())
    rows.push_back({"memory of the fullest rank", plan.rank_memory,
                    static_cast<double>(*std::ranges::max_element(run.record->peak_memory)),
                    bytes_unit()});
  if (run.record && run.record->ending == "done" && plan.seconds > 0) {
    double seconds = 0;
    for (const train::Attempt& attempt : run.attempts) seconds += attempt.updated - attempt.started;
    if (run.attempts.empty())
      for (const train::ProfileLine& line : run.profile) seconds += line.seconds;
    rows.push_back({"the whole run", plan.seconds, seconds, seconds_unit()});
  }
  std::erase_if(rows,
                [](const Compared& row) { return !(row.planned > 0) && !(row.happened > 0); });
  return rows;
}

std::string difference(const Compared& row) {
  if (!(row.planned > 0) || !(row.happened > 0)) return "–";
  return fmt::format("{:+.1f} %", 100 * (row.planned / row.happened - 1));
}

void add_table(const Runs& runs, const RunFolder& run, const std::vector<Compared>& rows,
               Page& page) {
  Table table;
  table.caption = (runs.size() > 1 ? run.label + ", " : std::string()) + "planned on machine " +
                  (run.planned->machine.empty() ? "–" : run.planned->machine);
  table.head = {"", "planned", "happened", "planned against happened"};
  for (const Compared& row : rows)
    table.rows.push_back({row.what, with_unit(row.planned, row.unit),
                          with_unit(row.happened, row.unit), difference(row)});
  page.add(table);
}

}  // namespace

void add_plan(const Runs& runs, Page& page) {
  page.begin_section("plan", "Plan and outcome",
                     "What lockstep plan predicted for the run, and what it measured.");
  Bars bars;
  bars.title = "Time per step, planned and happened";
  bars.about = "Seconds of a step by phase, as planned and as the mean over ranks and run.";
  bars.bar_name = "run";
  bars.value_name = "time per step";
  bars.unit = seconds_unit();
  for (const PhaseName& phase : step_phases()) bars.parts.push_back({phase.name, phase.colour, {}});
  const std::string_view left_out = "other";  // evaluations and saves are no part of a planned step
  for (const RunFolder& run : runs) {
    if (!run.planned) continue;
    const auto times = step_times(run);
    for (const bool planned : {true, false}) {
      if (!planned && !times) continue;
      bars.bars.push_back((runs.size() > 1 ? run.label + ", " : std::string()) +
                          (planned ? "planned" : "happened"));
      const auto& phases = planned ? run.planned->step : times->mean;
      for (std::size_t i = 0; i < bars.parts.size(); ++i) {
        const char* key = step_phases()[i].key;
        const auto found = phases.find(key);
        bars.parts[i].values.push_back(
            found == phases.end() || (!planned && left_out == key) ? 0 : found->second);
      }
    }
  }
  page.add(bars);
  for (const RunFolder& run : runs)
    if (run.planned) add_table(runs, run, compared(run), page);
}

}  // namespace lockstep::report
