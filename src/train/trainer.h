// The training loop: steps, evaluations, early stopping, checkpoints, and what is said of them.
#pragma once
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "lockstep/comm/communicator.h"
#include "lockstep/train/environment.h"
#include "lockstep/train/metrics_log.h"
#include "lockstep/train/progress.h"
#include "lockstep/train/run.h"
#include "lockstep/train/trainer.h"
#include "train/data_passes.h"
#include "train/evaluation.h"
#include "train/mlperf_log.h"
#include "train/observer.h"
#include "train/rank_device.h"
#include "train/replica_check.h"
#include "train/saver.h"
#include "train/session.h"
#include "train/step_policy.h"
#include "train/stopping.h"

namespace lockstep::train {

class Trainer {
 public:
  Trainer(comm::Communicator& communicator, const Run& run, const TrainRequest& request);
  ExitCode train();

 private:
  std::vector<LedgerRow> ledger() const;
  void say_settings() const;
  void first_values();
  void read_first_values(const ParameterTable& table, float* flat);
  void open_folder();
  void check_resumed(const std::string& checkpoint) const;
  std::string check_data(const std::string& description, const std::string& checkpoint) const;
  void start_loader();
  void start_clock();
  void watch();  // by observers
  Environment environment() const;
  bool finished() const;
  parallel::Requests requests();
  std::int64_t steps_to_due() const;
  void run_stretch();
  void after_step(const parallel::StepOutcome& outcome, bool last_of_stretch);
  void close_window();
  void tell_verdict(const parallel::StepOutcome& outcome);
  void tell_event(const EventRecord& event, const std::string& consequence);
  void roll_back();
  void complete_save();
  void evaluate_and_judge();
  void ready_to_save();
  void save();
  void finish_save();  // returns when no checkpoint is under way
  void tell_saved(const std::optional<FinishedSave>& saved);
  // Goes back to the newest sound checkpoint of at most so many steps, which is one of this run:
  // its state, its place in the data and in metrics.jsonl. Collective. DataError if there is none.
  void restore_newest(std::int64_t most = std::numeric_limits<std::int64_t>::max());
  void say_digest(const Hash128& digest, std::int64_t step, const std::string& where) const;
  Observed observed() const;
  RunRecord record() const;
  RankTimes times() const;
  std::string ending() const;
  void finish();
  Progress progress() const;
  void restore(const Progress& progress);
  bool saves() const { return !run_.checkpoint.dir.empty(); }

  comm::Communicator& communicator_;
  const Run run_;
  const TrainRequest request_;
  const std::unique_ptr<RankDevice> device_;
  std::unique_ptr<MlperfLog> mlperf_;  // until the run is ready
  Session session_;
  DataPasses passes_;
  std::unique_ptr<Saver> saver_;  // none without a folder
  Stopping stopping_;
  StepPolicy step_policy_;
  ReplicaCheck replicas_;
  std::unique_ptr<data::RowReader> validation_;  // none without a validation split

  std::vector<parallel::StepOutcome> outcomes_;  // of a stretch

  // State: all that can influence a later number, and where the run stands.
  std::int64_t step_ = 0;
  data::Position at_;
  MetricsWindow window_;
  double best_ = 0;
  bool has_best_ = false;
  std::int64_t bad_evaluations_ = 0;
  bool stopped_early_ = false;

  struct Due {  // at the end of the stretch
    bool evaluation = false, save = false, stop = false;
    bool counted = false;  // a save by the number of steps
  } due_;
  bool best_is_new_ = false;  // the evaluation of this step improved: the next save is the best
  bool stop_agreed_ = false;
  std::string ending_;           // why the run is over, once it is
  std::int64_t first_step_ = 0;  // of this process
  std::int64_t saved_step_ = -1;
  std::pair<std::string, std::int64_t> last_digest_;  // and its step
  CheckpointText save_text_;
  double started_ = 0, step_seconds_ = 0;
  std::unique_ptr<ProgressLine> line_;
  std::unique_ptr<MetricsLog> log_;
  std::vector<std::unique_ptr<Observer>> observers_;
};

}  // namespace lockstep::train
