// Keeps the record of what a run uses: usage.json, lines of the end report, and a file for
// Prometheus. Files are written by rank 0, in the background.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/background_file.h"
#include "train/gpu_meter.h"
#include "train/observer.h"
#include "train/prometheus.h"
#include "train/usage_record.h"

namespace lockstep::train {

class Usage final : public Observer {
 public:
  explicit Usage(const Observed& observed);
  ~Usage() override;  // notes an error, where the run did not finish

  void begun(std::int64_t step) override;
  void ended(const Stretch& stretch) override;
  void saved(std::int64_t step, double seconds) override;
  std::vector<std::string> report() override;
  void finished(std::int64_t step, ExitCode code) override;

 private:
  struct RankUse;
  void load();
  void gather();
  void write_record();
  RunGauges gauges();
  void warn_of_trouble();
  bool records() const { return recording_ && !observed_.run.checkpoint.dir.empty(); }

  const Observed observed_;
  const bool writes_;  // rank 0
  const std::string gauges_path_;
  std::unique_ptr<GpuMeter> gpu_;
  std::unique_ptr<BackgroundFile> record_file_, gauges_file_;
  std::vector<Attempt> attempts_;  // of the run; the last one is this
  bool recording_ = false, over_ = false;

  double saving_ = 0;  // seconds
  double next_record_ = 0, next_gauges_ = 0;
  double rate_since_ = 0;  // of gauges' samples per second
  std::int64_t rate_steps_ = 0, steps_done_ = 0;
  std::optional<double> rate_;  // samples a second
  std::optional<parallel::StepOutcome> last_;
  double checkpoint_time_ = 0;
  std::int64_t checkpoint_step_ = -1;
};

}  // namespace lockstep::train
