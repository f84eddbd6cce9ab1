// The first look: how the runs ended, with which numbers, and whether their bits are the same.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "lockstep/core/units.h"
#include "report/sections.h"

namespace lockstep::report {
namespace {

std::string state_of(const RunFolder& run) {
  if (!run.record) return "–";
  if (run.record->simulated) return "simulated";
  if (!run.record->ending.empty()) return run.record->ending;
  return "runs, or was killed";
}

// Of the last evaluation and, where it is another, the best one by loss.
std::string last_value(const RunFolder& run, const std::string& split, const std::string& name) {
  const auto curve = run.curves.find({split, name});
  if (curve == run.curves.end() || curve->second.values.empty()) return "–";
  return digits(curve->second.values.back(), 4);
}

std::string steps_of(const RunFolder& run) {
  const auto last = static_cast<double>(run.last_step());
  if (!run.record || run.record->steps == run.last_step()) return count(last);
  return fmt::format("{} of {}", count(last), count(static_cast<double>(run.record->steps)));
}

std::string number(const RunFolder& run, std::int64_t train::RunRecord::*field) {
  return run.record ? fmt::format("{}", (*run.record).*field) : "–";
}

void add_row(Table& table, const Runs& runs, const std::string& name,
             const std::function<std::string(const RunFolder&)>& value) {
  std::vector<std::string> row{name};
  bool known = false;
  for (const RunFolder& run : runs) {
    row.push_back(value(run));
    known |= row.back() != "–";
  }
  if (known) table.rows.push_back(std::move(row));
}

// "1, 2 and 4"
std::string listed(const std::set<std::int64_t>& numbers) {
  std::string text;
  for (auto n = numbers.begin(); n != numbers.end(); ++n)
    text += fmt::format("{}{}",
                        n == numbers.begin()            ? ""
                        : std::next(n) == numbers.end() ? " and "
                                                        : ", ",
                        *n);
  return text;
}

std::string digest_text(const Runs& runs) {
  std::set<std::string> digests;
  std::set<std::int64_t> steps, ranks;
  for (const RunFolder& run : runs) {
    if (!run.record || run.record->digest.empty()) return "";
    digests.insert(run.record->digest);
    steps.insert(run.record->digest_step);
    ranks.insert(run.ranks());
  }
  if (runs.size() < 2 || steps.size() > 1) return "";
  if (digests.size() > 1)
    return fmt::format("After step {} the runs' digests differ: they are not the same computation.",
                       *steps.begin());
  return fmt::format(
      "After step {} all runs have the same digest{}: the same bits.", *steps.begin(),
      ranks.size() > 1 ? fmt::format(", on {} ranks", listed(ranks)) : std::string());
}

std::string absent_text(const Runs& runs) {
  std::string html;
  for (const RunFolder& run : runs) {
    if (run.absent.empty()) continue;
    html += fmt::format(
        "<p class=note>{} has no {}{}: what would be shown of {} is left out.</p>\n",
        text(run.label), text(fmt::format("{}", fmt::join(run.absent, ", "))),
        run.record ? "" : " (a run of an earlier program)", run.absent.size() == 1 ? "it" : "them");
  }
  return html;
}

}  // namespace

void add_summary(const Runs& runs, Page& page) {
  page.begin_section("summary", "Summary", digest_text(runs));
  Table table;
  table.head = {""};
  for (const RunFolder& run : runs) table.head.push_back(run.label);
  add_row(table, runs, "state", state_of);
  add_row(table, runs, "steps", steps_of);
  add_row(table, runs, "ranks",
          [](const RunFolder& run) { return number(run, &train::RunRecord::ranks); });
  add_row(table, runs, "nodes",
          [](const RunFolder& run) { return number(run, &train::RunRecord::nodes); });
  add_row(table, runs, "batch",
          [](const RunFolder& run) { return number(run, &train::RunRecord::batch); });
  add_row(table, runs, "parameters", [](const RunFolder& run) {
    return run.record && run.record->parameters > 0 ? count_text(run.record->parameters)
                                                    : std::string("–");
  });
  std::set<std::pair<std::string, std::string>> names;
  for (const RunFolder& run : runs)
    for (const auto& [name, curve] : run.curves)
      if (!name.first.empty()) names.insert(name);
  for (const auto& [split, name] : names)
    add_row(table, runs, fmt::format("{}, last {}", name, split),
            [&](const RunFolder& run) { return last_value(run, split, name); });
  add_row(table, runs, "throughput", [](const RunFolder& run) {
    return with_unit(samples_per_second(run), {"samples/s", Prefixes::kSi});
  });
  add_row(table, runs, "time per step, slowest rank", [](const RunFolder& run) {
    const auto times = step_times(run);
    return times ? with_unit(times->seconds, seconds_unit()) : std::string("–");
  });
  add_row(table, runs, "computed", [](const RunFolder& run) {
    const double rate = samples_per_second(run);
    if (!run.record || !(run.record->step_flops > 0) || !(rate > 0)) return std::string("–");
    return with_unit(run.record->step_flops * rate / static_cast<double>(run.record->batch),
                     {"FLOP/s", Prefixes::kSi});
  });
  add_row(table, runs, "peak memory of a rank", [](const RunFolder& run) {
    if (!run.record || run.record->peak_memory.empty()) return std::string("–");
    return bytes_text(static_cast<double>(*std::ranges::max_element(run.record->peak_memory)));
  });
  add_row(table, runs, "goodput", [](const RunFolder& run) {
    if (run.attempts.empty()) return std::string("–");
    return fmt::format("{:.1f} %", 100 * train::goodput(run.attempts).of_wall());
  });
  add_row(table, runs, "started", [](const RunFolder& run) {
    return run.record && !run.record->started.empty() ? run.record->started : std::string("–");
  });
  add_row(table, runs, "digest", [](const RunFolder& run) {
    if (!run.record || run.record->digest.empty()) return std::string("–");
    return fmt::format("{}…", run.record->digest.substr(0, 12));
  });
  page.add(table);
  page.add_html(absent_text(runs));
}

}  // namespace lockstep::report
