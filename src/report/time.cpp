// Throughput, and where the seconds of steps went: over the run, by rank, by run.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/sections.h"

namespace lockstep::report {
namespace {

double mean_of(const train::ProfileLine& line, const char* phase) {
  const auto found = line.phases.find(phase);
  if (found == line.phases.end() || found->second.empty()) return 0;
  double sum = 0;
  for (const double s : found->second) sum += s;
  return sum / static_cast<double>(found->second.size());
}

// "" of a single run, so that titles stay short.
std::string behind(const Runs& runs, const RunFolder& run) {
  return runs.size() == 1 ? "" : ": " + run.label;
}

template <class Value>  // double(const train::ProfileLine&)
Series over_steps(const RunFolder& run, Value value) {
  Series series;
  for (const train::ProfileLine& line : run.profile) {
    if (line.steps <= 0) continue;
    series.x.push_back(static_cast<double>(line.step));
    series.y.push_back(value(line));
  }
  return series;
}

Plot over_steps_plot(const char* title, const char* y_name, const Unit& unit) {
  Plot plot;
  plot.title = title;
  plot.x_name = "step";
  plot.x_unit = {"number"};
  plot.y_name = y_name;
  plot.y_unit = unit;
  plot.from_zero = true;
  return plot;
}

void add_phases_over_steps(const Runs& runs, Page& page) {
  std::size_t shown = 0;
  for (const RunFolder& run : runs) {
    if (run.profile.size() < 2 || ++shown > kRunsApart) continue;
    Plot plot = over_steps_plot("", "time per step", seconds_unit());
    plot.title = "Time per step by phase" + behind(runs, run);
    plot.about =
        "Mean seconds of a step over all ranks, stacked by what they went into, window by "
        "window.";
    plot.stacked = true;
    for (const PhaseName& phase : step_phases()) {
      Series series = over_steps(run, [&](const train::ProfileLine& line) {
        return mean_of(line, phase.key) / static_cast<double>(line.steps);
      });
      series.name = phase.name;
      series.colour = phase.colour;
      plot.series.push_back(std::move(series));
    }
    page.add(plot);
  }
}

void add_phases_by_run(const Runs& runs, Page& page) {
  Bars bars;
  bars.title = "Time per step by phase, mean of the run";
  bars.about = "Mean seconds of a step over all ranks and the whole run, stacked by phase.";
  bars.bar_name = "run";
  bars.value_name = "time per step";
  bars.unit = seconds_unit();
  for (const PhaseName& phase : step_phases()) bars.parts.push_back({phase.name, phase.colour, {}});
  for (const RunFolder& run : runs) {
    const auto times = step_times(run);
    if (!times) continue;
    bars.bars.push_back(run.label);
    for (std::size_t i = 0; i < bars.parts.size(); ++i) {
      const auto found = times->mean.find(step_phases()[i].key);
      bars.parts[i].values.push_back(found == times->mean.end() ? 0 : found->second);
    }
  }
  page.add(bars);
}

void add_phases_by_rank(const Runs& runs, Page& page) {
  std::size_t shown = 0;
  for (const RunFolder& run : runs) {
    const auto times = step_times(run);
    if (!times || times->positions.size() < 2 || ++shown > kRunsApart) continue;
    Bars bars;
    bars.title = "Time per step by rank" + behind(runs, run);
    bars.about = "Mean seconds of a step of the whole run, rank by rank, stacked by phase.";
    bars.bar_name = "rank (by position)";
    bars.value_name = "time per step";
    bars.unit = seconds_unit();
    bars.numbered = true;
    for (const int p : times->positions) bars.bars.push_back(fmt::format("{}", p));
    for (const PhaseName& phase : step_phases()) {
      auto found = times->by_rank.find(phase.key);
      Part part{phase.name, phase.colour, {}};
      part.values = found == times->by_rank.end() ? std::vector<double>(times->positions.size(), 0)
                                                  : found->second;
      bars.parts.push_back(std::move(part));
    }
    page.add(bars);
  }
}

void add_communication(const Runs& runs, Page& page) {
  Plot plot = over_steps_plot("Communication, hidden and exposed", "time per step", seconds_unit());
  plot.about =
      "Mean seconds of a step in which messages were under way while a rank computed "
      "(hidden), and in which it waited for other ranks (exposed).";
  for (std::size_t r = 0; r < runs.size(); ++r) {
    if (runs[r].profile.empty() || runs[r].ranks() == 1) continue;
    for (const bool hidden : {false, true}) {
      Series series = over_steps(runs[r], [&](const train::ProfileLine& line) {
        return mean_of(line, hidden ? "hidden" : "exposed") / static_cast<double>(line.steps);
      });
      series.name = std::string(runs.size() > 1 ? runs[r].label + ", " : "") +
                    (hidden ? "hidden" : "exposed");
      series.colour = runs.size() > 1 ? static_cast<int>(r) : hidden ? 5 : 1;
      series.dashed = hidden;
      plot.series.push_back(std::move(series));
    }
  }
  if (!plot.series.empty()) page.add(plot);
}

}  // namespace

void add_speed(const Runs& runs, Page& page) {
  page.begin_section("speed", "Speed", "What the run got done in a second, while it ran.");
  Plot plot = over_steps_plot("Throughput", "throughput", {"samples/s", Prefixes::kSi});
  plot.about = "Samples per second over the steps of the run.";
  Plot tokens = over_steps_plot("Throughput in tokens", "throughput", {"tokens/s", Prefixes::kSi});
  tokens.about = "Tokens per second over the steps of the run.";
  for (std::size_t r = 0; r < runs.size(); ++r) {
    Series series;
    const auto found = runs[r].curves.find({"", "samples_per_second"});
    if (found != runs[r].curves.end()) {
      series.x = found->second.steps;
      series.y = found->second.values;
    } else if (runs[r].record) {
      const auto batch = static_cast<double>(runs[r].record->batch);
      series = over_steps(runs[r], [&](const train::ProfileLine& line) {
        return batch * static_cast<double>(line.steps) / line.seconds;
      });
    }
    if (series.x.empty()) continue;
    series.name = runs.size() == 1 ? "all ranks together" : runs[r].label;
    series.colour = static_cast<int>(r);
    plot.series.push_back(series);
    if (!runs[r].record || runs[r].record->sequence <= 0) continue;
    for (double& rate : series.y) rate *= static_cast<double>(runs[r].record->sequence);
    tokens.series.push_back(std::move(series));
  }
  page.add(plot);
  page.add(tokens);
  Plot time = over_steps_plot("Time per step", "time per step", seconds_unit());
  time.about = "Seconds of a step with all that lay between steps, of the slowest rank.";
  for (std::size_t r = 0; r < runs.size(); ++r) {
    Series series = over_steps(runs[r], [](const train::ProfileLine& line) {
      return line.seconds / static_cast<double>(line.steps);
    });
    if (series.x.empty()) continue;
    series.name = runs.size() == 1 ? "slowest rank" : runs[r].label;
    series.colour = static_cast<int>(r);
    time.series.push_back(std::move(series));
  }
  page.add(time);
}

void add_time(const Runs& runs, Page& page) {
  page.begin_section("time", "Where time went",
                     "Seconds of a step by what they went into, as each rank measured them.");
  add_phases_over_steps(runs, page);
  add_phases_by_run(runs, page);
  add_phases_by_rank(runs, page);
  add_communication(runs, page);
}

}  // namespace lockstep::report
