#include "lockstep/report/report.h"

#include <fmt/format.h>

#include "report/sections.h"

namespace lockstep::report {
namespace {

std::string title_of(const Runs& runs) {
  if (runs.size() == 1) return runs.front().label;
  return fmt::format("{} and {} more run{}", runs.front().label, runs.size() - 1,
                     runs.size() == 2 ? "" : "s");
}

std::string header_of(const Runs& runs) {
  std::string html = "<h1>" + text(title_of(runs)) + "</h1>\n";
  bool simulated = false;
  for (const RunFolder& run : runs) simulated |= run.record && run.record->simulated;
  if (simulated) html += "<p class=note>With simulated runs: nothing of them was measured.</p>\n";
  return html;
}

}  // namespace

std::string report_page(const std::vector<std::filesystem::path>& folders) {
  Runs runs;
  for (const auto& folder : folders) runs.push_back(read_run_folder(folder));
  tell_apart(runs);
  Page page;
  add_summary(runs, page);
  add_learning(runs, page);
  add_speed(runs, page);
  add_time(runs, page);
  add_scaling(runs, page);
  add_memory(runs, page);
  add_plan(runs, page);
  add_events(runs, page);
  add_configuration(runs, page);
  return page.html(title_of(runs) + " – Lockstep report", header_of(runs));
}

}  // namespace lockstep::report
