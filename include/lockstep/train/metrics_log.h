// metrics.jsonl beside the checkpoints: one JSON object per window of steps and one per evaluation.
// All keys but "time" are functions of the run alone, so that a straight run and a resumed one
// write the same. Written by one rank; knows no communicator.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/train/checkpoint.h"

namespace lockstep::train {

using NamedValues = std::vector<std::pair<std::string, double>>;

struct WindowRecord {
  std::int64_t step = 0, epoch = 0;  // the window's last step (counted from 1) and its epoch
  double loss = 0;                   // mean over the window
  NamedValues metrics;               // means over the window
  double lr = 0;                     // of the last step
  double gradient_norm = 0;          // mean over the window
};
struct EvaluationRecord {
  std::int64_t step = 0, epoch = 0;
  std::string split;  // "val", "test"
  double loss = 0;
  NamedValues metrics;
  bool best = false;
};
// Something that happened between steps: "skipped", "spike", "rollback".
struct EventRecord {
  std::int64_t step = 0;
  std::string event, why;
  std::int64_t rollback = 0;  // > 0: its number in the run
};
struct TimeRecord {
  double seconds = 0;  // since the start of this process
  double samples_per_second = 0;
};

// The open sums of a window. Part of the state: a checkpoint taken inside a window stores them.
class MetricsWindow {
 public:
  void add(double loss, const NamedValues& metrics, double lr, double gradient_norm);
  void leave_out(double lr);  // a step that counts, and whose numbers do not
  std::int64_t steps() const { return steps_; }
  // The means, and an empty window.
  WindowRecord close(std::int64_t step, std::int64_t epoch);
  void save(Progress& progress) const;
  void load(const Progress& progress);

 private:
  std::int64_t steps_ = 0, left_out_ = 0;
  double loss_ = 0, lr_ = 0, gradient_norm_ = 0;
  std::map<std::string, double> metrics_;
};

// The step of the best evaluation that the file tells of; none where there is none.
std::optional<std::int64_t> best_step(const std::filesystem::path& file);

class AppendedLines;

class MetricsLog {
 public:
  // Starts an empty file, or keeps the lines up to and including `resumed_step`, of the first
  // `rollbacks` rollbacks, and appends (a line that a crash left half-written goes too). Evaluate
  // before saving a checkpoint of the same step: then the evaluation's line is kept. Throws
  // UserError if the file cannot be written.
  MetricsLog(const std::filesystem::path& file, std::optional<std::int64_t> resumed_step,
             std::int64_t rollbacks = 0);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  // Appends a whole line. A disk that is full costs a warning and the line, not the run.
  void write(const WindowRecord& record, const TimeRecord& time);
  void write(const EvaluationRecord& record, const TimeRecord& time);
  void write(const EventRecord& record, const TimeRecord& time);

 private:
  std::unique_ptr<AppendedLines> lines_;
};

}  // namespace lockstep::train
