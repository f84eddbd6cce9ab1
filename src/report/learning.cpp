// Loss, metrics, learning rate and gradient norm over steps, and the loss over time.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "report/sections.h"

namespace lockstep::report {
namespace {

std::string loss_of(const RunFolder& run) {
  if (run.record)
    for (const auto& [name, value] : run.record->settings)
      if (name == "loss") return value;
  return "";
}

// A cross entropy is a natural logarithm; other losses have the unit of the target, which nobody
// told.
Unit unit_of(const std::string& metric, const Runs& runs) {
  if (metric == "loss" && loss_of(runs.front()).find("cross_entropy") != std::string::npos)
    return {"nat", Prefixes::kNone};
  return {};
}

// Names of curves that evaluations have, too; the loss first.
std::vector<std::string> metric_names(const Runs& runs) {
  std::set<std::string> names;
  for (const RunFolder& run : runs)
    for (const auto& [key, curve] : run.curves)
      if (!key.first.empty()) names.insert(key.second);
  std::vector<std::string> sorted;
  if (names.erase("loss") > 0) sorted.emplace_back("loss");
  sorted.insert(sorted.end(), names.begin(), names.end());
  return sorted;
}

int split_colour(const std::string& split) {
  return split == "train" ? 0 : split == "test" ? 2 : 1;
}

enum class Over { kSteps, kSeconds };

Plot plot_of(const Runs& runs, const std::string& name, Over over) {
  Plot plot;
  plot.x_name = over == Over::kSteps ? "step" : "time";
  plot.x_unit = over == Over::kSteps ? Unit{"number"} : seconds_unit();
  plot.y_name = name;
  double low = 0, high = 0;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    for (const auto& [key, curve] : runs[r].curves) {
      if (key.second != name) continue;
      const std::string& split = key.first;
      Series series;
      if (runs.size() == 1) {
        series.name = split.empty() ? name : split;
        series.colour = split.empty() ? 0 : split_colour(split);
        series.dashed = !split.empty() && split != "train";
      } else {
        series.name = split.empty() ? runs[r].label : runs[r].label + ", " + split;
        series.colour = static_cast<int>(r);
        series.dashed = !split.empty() && split != "train";
      }
      series.x = over == Over::kSteps ? curve.steps : curve.seconds;
      series.y = curve.values;
      for (const double v : curve.values) {
        if (v > 0) low = low == 0 ? v : std::min(low, v);
        high = std::max(high, v);
      }
      plot.series.push_back(std::move(series));
    }
  }
  constexpr double kLogFrom = 30;  // the greatest over the least
  if (low > 0 && high / low > kLogFrom) plot.y_scale = Scale::kLog;
  return plot;
}

}  // namespace

void add_learning(const Runs& runs, Page& page) {
  page.begin_section("learning", "Learning",
                     "Means over windows of steps (log.window); dashed: evaluations.");
  for (const std::string& name : metric_names(runs)) {
    Plot plot = plot_of(runs, name, Over::kSteps);
    plot.title = name == "loss" ? "Loss" : name;
    plot.about = fmt::format("The {} over the steps of the run, by split.", name);
    plot.y_unit = unit_of(name, runs);
    plot.marks = event_marks(runs);
    page.add(plot);
  }
  Plot over_time = plot_of(runs, "loss", Over::kSeconds);
  over_time.title = "Loss over time";
  over_time.about = "The loss over the seconds in which the run was running.";
  over_time.y_unit = unit_of("loss", runs);
  page.add(over_time);
  Plot rate = plot_of(runs, "lr", Over::kSteps);
  rate.title = "Learning rate";
  rate.about = "The learning rate over the steps of the run.";
  rate.y_name = "learning rate";
  if (rate.series.size() == 1 && runs.size() == 1) rate.series.front().name = "learning rate";
  rate.y_scale = Scale::kLinear;
  rate.from_zero = true;
  page.add(rate);
  Plot norm = plot_of(runs, "gradient_norm", Over::kSteps);
  norm.title = "Gradient norm";
  norm.about = "The norm of the gradient before clipping over the steps of the run.";
  norm.y_name = "gradient norm";
  if (norm.series.size() == 1 && runs.size() == 1) norm.series.front().name = "gradient norm";
  norm.marks = event_marks(runs);
  page.add(norm);
}

}  // namespace lockstep::report
