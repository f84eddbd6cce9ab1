// What becomes of a step whose numbers are bad: not finite, or far above those of the steps before.
// All ranks ask with the same numbers and keep the same history, which is part of the state, so
// they decide alike on any number of ranks and after a resume. Knows no rank and no file.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/parallel/strategy.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/metrics_log.h"
#include "lockstep/train/run.h"
#include "train/robust_history.h"

namespace lockstep::train {

class StepPolicy final : public parallel::StepGuard {
 public:
  // Throws UserError where the strategy, or the way in which the run is saved, does not allow for
  // what is asked for.
  StepPolicy(const Run& run, const ParameterTable& table);

  // Has the strategy ask, if it does.
  void attach(parallel::Strategy& strategy) { asked_ = strategy.ask(*this); }
  // Called, on all ranks alike, before the policy ends the run: what is under way can be completed.
  void before_stop(std::function<void()> call) { before_stop_ = std::move(call); }
  bool accept(std::int64_t step, const parallel::StepOutcome& outcome) override;
  // Follows each step that was not rolled back: judges those that the strategy did not ask about.
  // What there is to say of it, if anything.
  std::optional<EventRecord> ended(std::int64_t step, const parallel::StepOutcome& outcome);

  // The run shall go back to an earlier checkpoint: the verdict on the last step, until
  // rolled_back().
  bool wants_rollback() const { return wants_rollback_; }
  const std::string& why() const { return why_; }
  // A checkpoint was saved after so many steps, because of their number or of the best evaluation:
  // where the next rollback goes, whatever else was saved meanwhile. -1: none so far.
  void saved(std::int64_t step) { saved_ = step; }
  std::int64_t target() const { return saved_; }
  // The state was restored from the target. rollbacks: before it was.
  EventRecord rolled_back(std::int64_t step, std::int64_t rollbacks);
  std::int64_t rollbacks() const { return rollbacks_; }

  void save(Progress& progress) const;
  void load(const Progress& progress);
  // For the end of the run: "bad numbers: 2 updates left out, 1 rollback".
  std::vector<std::string> report() const;

 private:
  enum class Action : std::uint8_t { kApply, kStop, kSkip, kRollback };
  Action judge(const parallel::StepOutcome& outcome);
  std::string spike_text(const parallel::StepOutcome& outcome);
  [[noreturn]] void stop(std::int64_t step, const std::string& after) const;
  bool skip(std::int64_t step);
  bool roll_back(std::int64_t step);

  const TrainSection options_;
  const ParameterTable& table_;
  std::function<void()> before_stop_;
  bool asked_ = false;
  RobustHistory losses_, norms_;  // of updates that were applied
  std::int64_t skips_ = 0;        // one after another, up to now
  std::int64_t left_out_ = 0, spikes_ = 0, rollbacks_ = 0, saved_ = -1;
  std::string why_;  // of the last step; empty: it was good
  bool wants_rollback_ = false;
};

}  // namespace lockstep::train
