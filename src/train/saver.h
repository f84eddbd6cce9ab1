// A run's checkpoints: when one is due, made beside the steps, and what it has cost them. Knows no
// data and no strategy.
#pragma once
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>

#include "lockstep/nn/program.h"
#include "lockstep/train/run.h"
#include "train/checkpointer.h"
#include "train/save_policy.h"

namespace lockstep::train {

class Saver {
 public:
  // layout: as every state that will be saved.
  Saver(comm::Communicator& communicator, const CheckpointSection& options, const State& layout);
  nn::LedgerRow ledger_row() const;

  void start_clock();  // the first step is next; says where the interval is not the run file's
  // By this rank's clock. A save by the clock is never due while another is under way.
  bool due_by_time() const;
  bool due_by_count(std::int64_t steps, std::int64_t epochs) const {
    return policy_.due_by_count(steps, epochs);
  }

  // All collective. One at a time: finish() comes before begin(). Without checkpoint.background
  // begin() must be followed by finish().
  void begin(const State& state, const CheckpointText& text, SaveMarks marks);
  std::optional<FinishedSave> stretch_ended(std::int64_t steps, double seconds);
  std::optional<FinishedSave> finish();
  // Another save is due: finishes the one under way, and says so once where that takes its time.
  std::optional<FinishedSave> finish_for_next();

  // Of at most so many steps. Nothing may be under way.
  Restored restore_newest(State& state,
                          std::int64_t most = std::numeric_limits<std::int64_t>::max());

 private:
  void learn(FinishedSave& saved);

  comm::Communicator& communicator_;
  const CheckpointSection options_;
  const double mtbf_;  // of the job
  SavePolicy policy_;
  Checkpointer checkpointer_;
  double last_begun_ = 0;
  double waited_ = 0;  // for one save by the next
  bool said_slow_ = false;
  // Stretches with nothing under way since the last save, and those beside the one under way.
  std::int64_t free_steps_ = 0, beside_steps_ = 0;
  double free_seconds_ = 0, beside_seconds_ = 0;
  double usual_ = 0;  // seconds of a step with nothing under way
};

}  // namespace lockstep::train
