// What happened between steps, and from start to start: events, attempts, goodput.
#include <fmt/format.h>

#include <algorithm>

#include "lockstep/core/units.h"
#include "report/sections.h"

namespace lockstep::report {
namespace {

constexpr std::size_t kMostEvents = 500;

void add_event_table(const Runs& runs, Page& page) {
  Table table;
  table.numbers = false;
  table.caption = "Events";
  table.head = {"step", "what", "why"};
  if (runs.size() > 1) table.head.insert(table.head.begin() + 1, "run");
  std::size_t events = 0;
  for (const RunFolder& run : runs) {
    events += run.events.size();
    for (const Event& event : run.events) {
      if (table.rows.size() == kMostEvents) break;
      std::vector<std::string> row{fmt::format("{}", event.step), event.what, event.why};
      if (runs.size() > 1) row.insert(row.begin() + 1, run.label);
      table.rows.push_back(std::move(row));
    }
  }
  if (table.rows.empty()) return;
  if (events > kMostEvents)
    table.caption =
        fmt::format("The first {} of {} events; metrics.jsonl has them all", kMostEvents, events);
  page.add(table);
}

// As they are stored: "waiting_for_data".
const std::vector<PhaseName>& attempt_phases() {
  static const std::vector<PhaseName> phases{{"start", "start", 5},
                                             {"compute", "compute", 0},
                                             {"folding", "adding gradients", 2},
                                             {"waiting_for_ranks", "waiting for ranks", 1},
                                             {"waiting_for_data", "waiting for data", 4},
                                             {"saving", "saving", 3},
                                             {"other", "other", 7}};
  return phases;
}

void add_attempt_table(const Runs& runs, Page& page) {
  Table table;
  table.caption = "Starts of the program";
  table.numbers = false;
  table.head = {"run", "started (UTC)", "steps", "ranks", "nodes", "ended by", "took"};
  for (const RunFolder& run : runs) {
    for (const train::Attempt& a : run.attempts)
      table.rows.push_back({run.label, train::utc_text(a.started),
                            fmt::format("{} to {}", a.history.first() + 1, a.history.last()),
                            fmt::format("{}", a.ranks), fmt::format("{}", a.hosts.size()),
                            a.ended.empty() ? "runs, or was killed" : a.ended,
                            seconds_text(a.updated - a.started)});
  }
  if (!table.rows.empty()) page.add(table);
}

void add_goodput(const Runs& runs, Page& page) {
  Bars bars;
  bars.title = "Where the run's time went";
  bars.about = "Seconds of all starts of the program together, mean over ranks, by kind.";
  bars.bar_name = "run";
  bars.value_name = "time";
  bars.unit = seconds_unit();
  for (const PhaseName& phase : attempt_phases())
    bars.parts.push_back({phase.name, phase.colour, {}});
  Table table;
  table.caption = "Goodput: time in steps that count";
  table.head = {"run",
                "goodput [%]",
                "while it ran [%]",
                "steps that count [s]",
                "from first start to end [s]",
                "lost steps"};
  for (const RunFolder& run : runs) {
    if (run.attempts.empty()) continue;
    bars.bars.push_back(run.label);
    for (std::size_t i = 0; i < bars.parts.size(); ++i) {
      double sum = 0;
      for (const train::Attempt& a : run.attempts) {
        const auto found = a.seconds.find(attempt_phases()[i].key);
        if (found != a.seconds.end()) sum += found->second;
      }
      bars.parts[i].values.push_back(sum);
    }
    const train::Goodput good = train::goodput(run.attempts);
    table.rows.push_back({run.label, fmt::format("{:.1f}", 100 * good.of_wall()),
                          fmt::format("{:.1f}", 100 * good.of_running()), digits(good.useful, 5),
                          digits(good.wall, 5), fmt::format("{}", good.lost)});
  }
  if (bars.bars.empty()) return;
  page.add(bars);
  page.add(table);
}

}  // namespace

void add_events(const Runs& runs, Page& page) {
  page.begin_section("events", "Events and goodput",
                     "Skipped and rolled back steps, spikes, slow ranks; starts and ends.");
  add_goodput(runs, page);
  add_attempt_table(runs, page);
  add_event_table(runs, page);
}

}  // namespace lockstep::report
