#include "report/run_folder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"

namespace lockstep::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kMetrics = "metrics.jsonl";
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Reads metrics.jsonl line by line. A process that goes on counts its seconds from its own start.
class MetricsReader {
 public:
  explicit MetricsReader(RunFolder& run) : run_(run) {}

  void take(const Json& line) {
    const std::int64_t step = line.at("step");
    const Json time = line.value("time", Json::object());
    const double own = time.value("seconds", 0.0);
    if (own < last_) before_ += last_;
    last_ = own;
    seconds_ = before_ + own;
    if (line.contains("event")) {
      run_.events.push_back({step, line.at("event"), line.value("why", "")});
      return;
    }
    const std::string split = line.value("split", "train");
    for (const auto& [key, value] : line.items()) {
      if (kOther.contains(key) || !(value.is_number() || value.is_null())) continue;
      const bool of_split = key != "lr" && key != "gradient_norm";
      add(of_split ? split : "", key, step, value.is_null() ? kNaN : value.get<double>());
    }
    // Before its first figure a run has 0.
    const double rate = time.value("samples_per_second", 0.0);
    if (!line.contains("split") && rate > 0) add("", "samples_per_second", step, rate);
  }

 private:
  inline static const std::set<std::string> kOther{"step", "epoch", "time", "best", "split"};

  void add(const std::string& split, const std::string& name, std::int64_t step, double value) {
    Curve& curve = run_.curves[{split, name}];
    curve.steps.push_back(static_cast<double>(step));
    curve.seconds.push_back(seconds_);
    curve.values.push_back(value);
  }

  RunFolder& run_;
  double before_ = 0, last_ = 0, seconds_ = 0;
};

// A last line without its end is still being written.
void read_metrics(const fs::path& file, RunFolder& run) {
  const std::string text = read_file(file);
  MetricsReader reader(run);
  std::size_t number = 1;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos;
       at = end + 1, ++number) {
    try {
      reader.take(Json::parse(text.substr(at, end - at)));
    } catch (const Json::exception& error) {
      throw DataError("{}, line {}: {}; remove the line to do without it", file.string(), number,
                      error.what());
    }
  }
}

// False: the file is not there.
template <class Read>
bool read_if_there(RunFolder& run, const char* name, Read read) {
  const fs::path file = run.path / name;
  std::error_code error;
  if (!fs::exists(file, error)) {
    run.absent.emplace_back(name);
    return false;
  }
  read(file);
  return true;
}

std::string label_of(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

}  // namespace

std::int64_t RunFolder::last_step() const {
  double last = 0;
  for (const auto& [name, curve] : curves)
    if (!curve.steps.empty()) last = std::max(last, curve.steps.back());
  std::int64_t step = static_cast<std::int64_t>(last);
  if (!profile.empty()) step = std::max(step, profile.back().step);
  if (record) step = std::max(step, record->digest_step);
  return step;
}

RunFolder read_run_folder(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error))
    throw UserError("there is no folder {}; name the checkpoint.dir of a run", path.string());
  if (!fs::is_directory(path, error))
    throw UserError(
        "{} is no folder; name the checkpoint.dir of a run, not its run file or a "
        "file of it",
        path.string());
  RunFolder run;
  run.path = path;
  run.label = label_of(path);
  const bool metrics =
      read_if_there(run, kMetrics, [&](const fs::path& file) { read_metrics(file, run); });
  const bool record = read_if_there(run, train::kRunRecord, [&](const fs::path& file) {
    run.record = train::read_run_record(file);
  });
  const bool profile = read_if_there(
      run, train::kProfile, [&](const fs::path& file) { run.profile = train::read_profile(file); });
  if (!metrics && !record && !profile)
    throw UserError(
        "{} holds no run: neither metrics.jsonl nor run.json nor profile.jsonl; name the "
        "checkpoint.dir of a run",
        path.string());
  read_if_there(run, "usage.json", [&](const fs::path& file) {
    try {
      run.attempts = train::parse_usage(read_file(file), file.string());
    } catch (const UserError& damaged) {
      throw DataError("{}", damaged.what());
    }
  });
  if (run.record && run.record->planned) run.planned = run.record->planned;
  if (fs::exists(path / train::kPlanRecord, error))
    run.planned = train::read_planned_record(path / train::kPlanRecord);
  return run;
}

std::optional<StepTimes> step_times(const RunFolder& run) {
  if (run.profile.empty()) return std::nullopt;
  StepTimes times;
  times.positions = run.profile.back().positions;
  for (const train::ProfileLine& line : run.profile) {
    std::vector<int> both;
    std::ranges::set_intersection(times.positions, line.positions, std::back_inserter(both));
    times.positions = std::move(both);
  }
  double steps = 0;
  for (const train::ProfileLine& line : run.profile) {
    steps += static_cast<double>(line.steps);
    times.seconds += line.seconds;
    for (const auto& [phase, seconds] : line.phases) {
      double sum = 0;
      for (const double s : seconds) sum += s;
      times.mean[phase] += sum / static_cast<double>(std::max<std::size_t>(1, seconds.size()));
      std::vector<double>& of_ranks = times.by_rank[phase];
      of_ranks.resize(times.positions.size());
      for (std::size_t i = 0; i < times.positions.size(); ++i) {
        const auto at = std::ranges::lower_bound(line.positions, times.positions[i]);
        of_ranks[i] += seconds[static_cast<std::size_t>(at - line.positions.begin())];
      }
    }
  }
  if (steps <= 0) return std::nullopt;
  times.seconds /= steps;
  for (auto& [phase, seconds] : times.mean) seconds /= steps;
  for (auto& [phase, of_ranks] : times.by_rank)
    for (double& seconds : of_ranks) seconds /= steps;
  return times;
}

// Evaluations and saves are no steps.
double samples_per_second(const RunFolder& run) {
  const auto times = step_times(run);
  if (times && run.record && run.record->batch > 0) {
    double stepping = 0;
    for (const auto& [phase, seconds] : times->mean)
      if (phase != "hidden" && phase != "other") stepping += seconds;
    if (stepping > 0) return static_cast<double>(run.record->batch) / stepping;
  }
  const auto curve = run.curves.find({"", "samples_per_second"});
  if (curve == run.curves.end() || curve->second.values.empty()) return kNaN;
  std::vector<double> rates = curve->second.values;
  std::ranges::nth_element(rates, rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2));
  return rates[rates.size() / 2];
}

}  // namespace lockstep::report
