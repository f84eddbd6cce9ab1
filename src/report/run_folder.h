// What one run left in its folder, read for a report: every file is optional but one of them, since
// runs of an earlier program and runs that were only simulated leave fewer.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/train/run_record.h"
#include "train/usage_record.h"

namespace lockstep::report {

// Values over the steps of a run; `seconds` since its first start, of the time in which it ran.
struct Curve {
  std::vector<double> steps, seconds, values;
};

struct Event {
  std::int64_t step = 0;
  std::string what, why;
};

struct RunFolder {
  std::filesystem::path path;
  std::string label;  // of the run among those of a page
  // By split ("train", "val", ...; "" for what has none) and by name: "loss", "accuracy", "lr".
  std::map<std::pair<std::string, std::string>, Curve> curves;
  std::vector<Event> events;
  std::optional<train::RunRecord> record;
  std::optional<train::PlannedRecord> planned;
  std::vector<train::ProfileLine> profile;
  std::vector<train::Attempt> attempts;
  std::vector<std::string> absent;  // files of a run that are not there

  std::int64_t ranks() const { return record ? record->ranks : 0; }  // 0: not known
  std::int64_t last_step() const;
};

// Throws UserError if there is no run, DataError if a file of it is damaged.
RunFolder read_run_folder(const std::filesystem::path& path);

// Means over all windows of a profile, seconds of a step.
struct StepTimes {
  std::map<std::string, double> mean;                  // by phase, over ranks
  std::map<std::string, std::vector<double>> by_rank;  // by phase, in order of `positions`
  std::vector<int> positions;                          // those that all lines have
  double seconds = 0;                                  // of the slowest rank
};
std::optional<StepTimes> step_times(const RunFolder& run);
// Samples a second while it stepped; NaN if nobody knows.
double samples_per_second(const RunFolder& run);

}  // namespace lockstep::report
