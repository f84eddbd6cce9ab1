// What a trainer does when its policy on bad numbers has decided.
#include <filesystem>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "train/checkpoint_folder.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

data::Position after(data::Position at, std::int64_t steps, std::int64_t steps_per_epoch) {
  const std::int64_t in_epoch = at.step + steps;
  return {at.epoch + in_epoch / steps_per_epoch, in_epoch % steps_per_epoch};
}

}  // namespace

void Trainer::tell_event(const EventRecord& event, const std::string& consequence) {
  line_->clear();
  log::warn("step {}: {}; {}", event.step, event.why, consequence);
  if (log_) log_->write(event, {seconds_now() - started_, line_->samples_per_second()});
}

void Trainer::tell_verdict(const parallel::StepOutcome& outcome) {
  const std::optional<EventRecord> event = step_policy_.ended(step_, outcome);
  if (!event) return;
  tell_event(*event, outcome.applied ? "it was applied (train.on_spike = \"report\")"
                                     : "its update was left out");
}

// The last good checkpoint is worth the wait; why the run ends matters more than why it is not
// whole.
void Trainer::complete_save() {
  try {
    finish_save();
  } catch (const Error& error) {  // on all ranks alike
    log::warn("{}", error.what());
  }
}

// With the samples of the steps since the checkpoint the same numbers would come again, bit for
// bit. So the data goes on behind the bad step, as it did for PaLM (Chowdhery et al. 2022,
// section 5.1), where batches that brought a spike brought none with other parameters. The loader
// only ever goes forward.
void Trainer::roll_back() {
  const std::int64_t bad = step_ + 1, rollbacks = step_policy_.rollbacks();
  if (step_policy_.target() < 0)
    throw DataError(
        "{} at step {}, and there is no checkpoint to go back to yet; nothing was applied. Save "
        "more often (checkpoint.every), lower optimizer.lr, or use optimizer.warmup",
        step_policy_.why(), bad);
  const std::int64_t epoch = session_.loader->steps_per_epoch();
  const data::Position at = after(at_, 1 + run_.train.rollback_skip, epoch);
  communicator_.set_activity("going back to a checkpoint", bad);
  line_->pause();
  restore_newest(step_policy_.target());
  at_ = at;
  EventRecord event = step_policy_.rolled_back(step_, rollbacks);
  communicator_.together([&] {
    if (communicator_.rank() == 0) remove_checkpoints_after(run_.checkpoint.dir, step_);
  });
  event.why += fmt::format(" at step {}", bad);
  tell_event(event,
             fmt::format("the run went back here, and goes on with the samples that follow "
                         "those of step {} (rollback {} of {})",
                         bad + run_.train.rollback_skip, event.rollback, run_.train.max_rollbacks));
  line_->resume();
}

}  // namespace lockstep::train
