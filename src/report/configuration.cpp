// What was run, with what: settings, the resolved run file, versions, digests.
#include <fmt/format.h>

#include <algorithm>

#include "report/run_text.h"
#include "report/sections.h"

namespace lockstep::report {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// A row for each name, a column for each run.
Table side_by_side(const Runs& runs, const char* caption, const char* first,
                   Pairs (*rows_of)(const RunFolder&)) {
  Table table;
  table.caption = caption;
  table.numbers = false;
  table.head = {first};
  std::vector<std::pair<std::string, std::vector<std::string>>> rows;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    table.head.push_back(runs[r].label);
    for (auto& [name, value] : rows_of(runs[r])) {
      auto row = std::ranges::find(rows, name, [](const auto& p) { return p.first; });
      if (row == rows.end()) {
        rows.emplace_back(name, std::vector<std::string>(runs.size()));
        row = rows.end() - 1;
      }
      std::string& cell = row->second[r];
      cell += (cell.empty() ? "" : "; ") + value;
    }
  }
  for (auto& [name, values] : rows) {
    std::vector<std::string> row{name};
    row.insert(row.end(), values.begin(), values.end());
    table.rows.push_back(std::move(row));
  }
  return table;
}

Pairs settings_of(const RunFolder& run) { return run.record ? run.record->settings : Pairs(); }

Pairs environment_of(const RunFolder& run) {
  if (!run.record) return {};
  Pairs rows;
  if (!run.record->version.empty()) rows.emplace_back("lockstep", run.record->version);
  rows.insert(rows.end(), run.record->environment.begin(), run.record->environment.end());
  std::vector<std::string> hosts = run.record->hosts;
  std::ranges::sort(hosts);
  hosts.erase(std::ranges::unique(hosts).begin(), hosts.end());
  if (!run.record->digest.empty())
    rows.emplace_back("digest",
                      fmt::format("{} after step {}", run.record->digest, run.record->digest_step));
  constexpr std::size_t kMostHosts = 64;
  const std::size_t all = hosts.size();
  if (all > kMostHosts) hosts.resize(kMostHosts);
  if (all > 0)
    rows.emplace_back("hosts",
                      fmt::format("{}{}", fmt::join(hosts, ", "),
                                  all > kMostHosts ? fmt::format(" and {} more", all - kMostHosts)
                                                   : std::string()));
  return rows;
}

void add_differences(const Runs& runs, Page& page) {
  std::vector<std::string> texts;
  for (const RunFolder& run : runs) texts.push_back(run.record ? run.record->resolved_toml : "");
  Table table;
  table.caption = "Keys of the run files that differ";
  table.numbers = false;
  table.head = {"key"};
  for (const RunFolder& run : runs) table.head.push_back(run.label);
  for (auto& [key, values] : differences(texts)) {
    std::vector<std::string> row{key};
    row.insert(row.end(), values.begin(), values.end());
    table.rows.push_back(std::move(row));
  }
  if (!table.rows.empty()) page.add(table);
}

}  // namespace

void add_configuration(const Runs& runs, Page& page) {
  page.begin_section("configuration", "Configuration", "What was run, on what, with what.");
  if (std::ranges::none_of(runs, [](const RunFolder& run) { return run.record.has_value(); }))
    return;
  page.add(side_by_side(runs, "In force", "", settings_of));
  if (runs.size() > 1) add_differences(runs, page);
  page.add(side_by_side(runs, "Versions, machine, digest", "", environment_of));
  for (const RunFolder& run : runs) {
    if (!run.record || run.record->resolved_toml.empty()) continue;
    page.add_html(details_html(
        "The whole run file" + (runs.size() > 1 ? ": " + run.label : std::string()),
        "<pre class=scroll tabindex=0>" + text(run.record->resolved_toml) + "</pre>\n"));
  }
}

}  // namespace lockstep::report
