#include "train/stopping.h"

#include <algorithm>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "lockstep/train/signals.h"

namespace lockstep::train {

Stopping::Stopping(comm::Communicator& communicator, const Run& run)
    : communicator_(communicator), saves_(!run.checkpoint.dir.empty()) {
  if (run.run.time_limit > 0 && !saves_)
    throw UserError(
        "run.time_limit stops a run with a checkpoint, and there is no folder for it: set "
        "checkpoint.dir, or leave run.time_limit out");
  if (saves_ && communicator.rank() == 0 && run.run.time_limit != 0)
    limit_.emplace(run.run.time_limit, run.run.stop_before);
}

bool Stopping::asked_before_start() {
  return saves_ && communicator_.max(stop_requested() ? 1 : 0) > 0;
}

bool Stopping::asked() {
  const bool by_time = limit_ && limit_->due();
  return by_time || stop_requested();
}

void Stopping::begin_stretch(const std::function<void()>& before_saying) {
  if (!limit_) return;
  const double now = seconds_now();
  if (stretch_began_ < 0) {
    limit_->wait_for_answer();
  } else {
    limit_->took_work(now - stretch_began_);
  }
  stretch_began_ = now;
  const std::string news = limit_->news();
  if (news.empty()) return;
  before_saying();
  log::info("{}", news);
}

void Stopping::took_save(double seconds) {
  if (limit_) limit_->took_save(seconds);
}

std::string Stopping::reason() const {
  const std::int64_t by_time = limit_ && limit_->was_due() ? 1 : 0;
  const std::int64_t signal = communicator_.max(stop_signal());
  if (signal > 0) return signal_name(static_cast<int>(signal));
  return communicator_.max(by_time) > 0 ? "the time limit" : "a request";
}

}  // namespace lockstep::train
