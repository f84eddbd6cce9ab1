// What ranks planned to hold, and what they held.
#include <fmt/format.h>

#include <algorithm>

#include "report/sections.h"

namespace lockstep::report {
namespace {

// Of a single run row by row; of several stacked.
void add_ledger(const Runs& runs, Page& page) {
  Bars bars;
  bars.title = "Memory ledger of the first rank";
  bars.about = "Bytes that the first rank plans to hold, as the run says at its start.";
  bars.value_name = "memory";
  bars.unit = bytes_unit();
  if (runs.size() == 1 && runs.front().record) {
    bars.bar_name = "use";
    Part part{"planned at start", 0, {}};
    for (const train::LedgerRow& row : runs.front().record->ledger) {
      bars.bars.push_back(row.on_device ? row.name + " (device)" : row.name);
      part.values.push_back(static_cast<double>(row.bytes));
    }
    bars.parts = {part};
    return page.add(bars);
  }
  bars.bar_name = "run";
  for (const RunFolder& run : runs) {
    if (!run.record || run.record->ledger.empty()) continue;
    bars.bars.push_back(run.label);
    for (Part& part : bars.parts) part.values.push_back(0);
    for (const train::LedgerRow& row : run.record->ledger) {
      auto part = std::ranges::find(bars.parts, row.name, &Part::name);
      if (part == bars.parts.end()) {
        bars.parts.push_back({row.name, static_cast<int>(bars.parts.size()),
                              std::vector<double>(bars.bars.size(), 0)});
        part = bars.parts.end() - 1;
      }
      part->values.back() += static_cast<double>(row.bytes);
    }
  }
  page.add(bars);
}

void add_peaks(const Runs& runs, Page& page) {
  Bars by_run;
  by_run.title = "Peak memory of the fullest rank";
  by_run.about = "Resident bytes at most of the rank that held most.";
  by_run.bar_name = "run";
  by_run.value_name = "resident memory";
  by_run.unit = bytes_unit();
  by_run.parts = {{"at most", 3, {}}};
  std::size_t shown = 0;
  for (const RunFolder& run : runs) {
    if (!run.record || run.record->peak_memory.empty()) continue;
    const auto& peaks = run.record->peak_memory;
    by_run.bars.push_back(run.label);
    by_run.parts[0].values.push_back(static_cast<double>(*std::ranges::max_element(peaks)));
    if (peaks.size() < 2 || ++shown > kRunsApart) continue;
    Bars bars;
    bars.title = "Peak memory by rank" + (runs.size() == 1 ? "" : ": " + run.label);
    bars.about = "Resident bytes at most, rank by rank.";
    bars.bar_name = "rank (by position)";
    bars.value_name = "resident memory";
    bars.unit = bytes_unit();
    bars.numbered = true;
    bars.parts = {{"at most", 3, {}}};
    const auto fullest = static_cast<int>(std::ranges::max_element(peaks) - peaks.begin());
    for (const int p : train::profiled_positions(static_cast<int>(peaks.size()), fullest)) {
      bars.bars.push_back(fmt::format("{}", p));
      bars.parts[0].values.push_back(static_cast<double>(peaks[static_cast<std::size_t>(p)]));
    }
    page.add(bars);
  }
  if (runs.size() > 1 || shown == 0) page.add(by_run);
}

void add_resident(const Runs& runs, Page& page) {
  Plot plot;
  plot.title = "Resident memory";
  plot.about = "Resident bytes of the fullest rank over the steps of the run.";
  plot.x_name = "step";
  plot.x_unit = {"number"};
  plot.y_name = "resident memory";
  plot.y_unit = bytes_unit();
  plot.from_zero = true;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    Series series;
    for (const train::ProfileLine& line : runs[r].profile) {
      const auto memory = line.bytes.find("memory");
      if (memory == line.bytes.end() || memory->second.empty()) continue;
      series.x.push_back(static_cast<double>(line.step));
      series.y.push_back(*std::ranges::max_element(memory->second));
    }
    if (series.x.empty()) continue;
    series.name = runs.size() == 1 ? "fullest rank" : runs[r].label;
    series.colour = runs.size() == 1 ? 3 : static_cast<int>(r);
    plot.series.push_back(std::move(series));
  }
  page.add(plot);
}

}  // namespace

void add_memory(const Runs& runs, Page& page) {
  page.begin_section("memory", "Memory",
                     "What the first rank planned to hold, and what ranks held. Pages that the "
                     "ranks of a node share count for each that touched them.");
  add_ledger(runs, page);
  add_peaks(runs, page);
  add_resident(runs, page);
}

}  // namespace lockstep::report
