// log.mlperf: the lines that MLPerf's training and HPC rules ask for (https://github.com/mlcommons/
// logging), each appended at once by rank 0, so that a run that is killed has told all it did.
#pragma once
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>

#include "train/appended_lines.h"
#include "train/observer.h"

namespace lockstep::train {

// What is known once the run is ready for its first step.
struct MlperfFacts {
  std::int64_t train_samples = 0, eval_samples = 0;
  std::int64_t total_steps = 0, steps_per_epoch = 1;
  // While the training split was read into memory (seconds_now()); equal: it was not.
  double staging_began = 0, staging_ended = 0;
};

class MlperfLog final : public Observer {
 public:
  // Before the data are touched: what comes after is part of the run. Collective; throws UserError
  // if the file cannot be written. An attempt that goes on appends to what is there; one that
  // starts afresh sets it aside.
  MlperfLog(comm::Communicator& communicator, const Run& run, bool resume);
  ~MlperfLog() override;  // of a run that ends by an error: run_stop, aborted

  void ready(const MlperfFacts& facts);
  void begun(std::int64_t step) override;
  void ended(const Stretch& stretch) override;
  void evaluating(std::int64_t step) override;
  void evaluated(const EvaluationRecord& record) override;
  void finished(std::int64_t step, ExitCode code) override;

 private:
  enum class Type : std::uint8_t { kPoint, kStart, kEnd };
  // A line. Values and metadata are JSON. at: seconds_now() of what it tells.
  void tell(Type type, const char* key, const std::string& value, const std::string& metadata,
            double at, std::source_location here = std::source_location::current());
  void point(const char* key, const std::string& value,
             std::source_location here = std::source_location::current());
  void say_submission();
  void say_settings();
  void say_optimizer();
  void start_epoch(std::int64_t epoch, double at);
  void stop_epoch(double at);
  void stop_block();
  std::string epoch_at(std::int64_t step) const;  // metadata

  const Run run_;
  const std::string hardware_;
  const bool writes_;  // rank 0
  bool continues_ = false, over_ = false;
  std::unique_ptr<AppendedLines> lines_;
  MlperfFacts facts_;
  std::int64_t epoch_ = 0;  // that is open, from 1; 0: none
  std::int64_t block_ = 0;  // first epoch of the open block; 0: none
};

}  // namespace lockstep::train
