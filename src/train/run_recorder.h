// Writes run.json and plan.json beside the checkpoints: at start, at each save and at the end, by
// rank 0 and in the background. What is in it is read by `lockstep report` alone; a run never reads
// it for its numbers.
#pragma once
#include <memory>

#include "train/background_file.h"
#include "train/observer.h"

namespace lockstep::train {

class RunRecorder final : public Observer {
 public:
  explicit RunRecorder(const Observed& observed);
  ~RunRecorder() override;  // notes an error, where the run did not finish

  void begun(std::int64_t step) override;
  void saved(std::int64_t step, double seconds) override;
  void finished(std::int64_t step, ExitCode code) override;

 private:
  void gather_memory();
  void write();

  const Observed observed_;
  const bool writes_;  // rank 0
  bool recording_ = false, over_ = false;
  RunRecord record_;
  BackgroundFile file_, plan_file_;
};

}  // namespace lockstep::train
