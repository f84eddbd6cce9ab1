// Throughput and efficiency against ranks, where the runs are a series: nothing else differs, or
// the batch grows along.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "report/run_text.h"
#include "report/sections.h"

namespace lockstep::report {
namespace {

enum class Series_ : std::uint8_t { kNone, kStrong, kWeak };

// Where a run is written, what is logged of it and how long it goes on do not make another run.
bool is_aside(const std::string& key) {
  return key.starts_with("checkpoint.") || key.starts_with("log.") || key.starts_with("plan.") ||
         key == "train.steps" || key == "train.epochs" || key == "train.evaluate_every" ||
         key == "parallel.pretend_nodes" || key == "run.watchdog";
}
bool grows_along(const std::string& key) {
  return key == "train.batch" || key == "train.lanes" || key.starts_with("optimizer.lr") ||
         key == "optimizer.warmup";
}

Series_ kind_of(const Runs& runs) {
  std::vector<std::string> texts;
  std::map<std::int64_t, int> ranks;
  for (const RunFolder& run : runs) {
    if (run.ranks() == 0) return Series_::kNone;
    ++ranks[run.ranks()];
    texts.push_back(run.record->resolved_toml);
  }
  if (ranks.size() < 2) return Series_::kNone;
  Series_ kind = Series_::kStrong;
  for (const auto& [key, values] : differences(texts)) {
    if (is_aside(key)) continue;
    if (!grows_along(key)) return Series_::kNone;
    kind = Series_::kWeak;
  }
  return kind;
}

struct At {
  std::int64_t ranks = 0;
  double rate = 0;
  std::string label;
};

}  // namespace

void add_scaling(const Runs& runs, Page& page) {
  const Series_ kind = kind_of(runs);
  if (kind == Series_::kNone) return;
  page.begin_section(
      "scaling", kind == Series_::kStrong ? "Strong scaling" : "Weak scaling",
      kind == Series_::kStrong
          ? "The runs differ in their number of ranks only. Efficiency: samples per second and "
            "rank, against the run with the fewest ranks."
          : "The batch grows with the ranks. Efficiency: samples per second and rank, against the "
            "run with the fewest ranks.");
  std::vector<At> series;
  for (const RunFolder& run : runs) {
    const double rate = samples_per_second(run);
    if (std::isfinite(rate) && rate > 0) series.push_back({run.ranks(), rate, run.label});
  }
  if (series.size() < 2) return;
  std::ranges::stable_sort(series, {}, &At::ranks);
  const double each = series.front().rate / static_cast<double>(series.front().ranks);
  Plot rate, efficiency;
  rate.title = "Throughput against ranks";
  rate.about =
      "Samples per second by number of ranks, with what as many ranks would reach ideally.";
  efficiency.title = "Efficiency against ranks";
  efficiency.about = "Samples per second and rank, in percent of those of the fewest ranks.";
  for (Plot* plot : {&rate, &efficiency}) {
    plot->x_name = "ranks";
    plot->x_unit = {"number"};
    plot->x_scale = Scale::kDoubling;
  }
  rate.y_name = "throughput";
  rate.y_unit = {"samples/s", Prefixes::kSi};
  const bool wide = series.back().ranks >= 8 * series.front().ranks;
  rate.y_scale = wide ? Scale::kLog : Scale::kLinear;
  rate.from_zero = !wide;
  efficiency.y_name = "efficiency";
  efficiency.y_unit = {"%"};
  efficiency.from_zero = true;
  Series measured{"measured", 0, false, {}, {}}, ideal{"ideal", 7, true, {}, {}};
  Series part{"measured", 0, false, {}, {}}, whole{"ideal", 7, true, {}, {}};
  Table table;
  table.head = {"run", "ranks", "throughput [samples/s]", "of one rank [samples/s]",
                "efficiency [%]"};
  for (const At& at : series) {
    const auto ranks = static_cast<double>(at.ranks);
    const double percent = 100 * at.rate / (each * ranks);
    for (Series* s : {&measured, &ideal, &part, &whole}) s->x.push_back(ranks);
    measured.y.push_back(at.rate);
    ideal.y.push_back(each * ranks);
    part.y.push_back(percent);
    whole.y.push_back(100);
    table.rows.push_back({at.label, fmt::format("{}", at.ranks), digits(at.rate, 5),
                          digits(at.rate / ranks, 5), fmt::format("{:.1f}", percent)});
  }
  rate.series = {measured, ideal};
  efficiency.series = {part, whole};
  page.add(rate);
  page.add(efficiency);
  page.add(table);
}

}  // namespace lockstep::report
