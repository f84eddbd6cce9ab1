#include "train/saver.h"

#include <algorithm>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "lockstep/core/units.h"

namespace lockstep::train {
namespace {

constexpr double kNoticedWait = 1;  // seconds

double mtbf_of_job(const CheckpointSection& options, int nodes) {
  if (!(options.mtbf > 0))
    throw UserError(
        "checkpoint.mtbf must be more than nothing; write the mean time between failures of one "
        "node, for example \"150d\"");
  return options.mtbf / nodes;
}

}  // namespace

Saver::Saver(comm::Communicator& communicator, const CheckpointSection& options,
             const State& layout)
    : communicator_(communicator),
      options_(options),
      mtbf_(mtbf_of_job(options, communicator.topology().nodes())),
      policy_(options.every, mtbf_),
      checkpointer_(communicator, {options.dir, static_cast<int>(options.keep), options.background},
                    layout) {}

nn::LedgerRow Saver::ledger_row() const {
  return {"checkpoint snapshot", checkpointer_.bytes(),
          "what this rank writes of a checkpoint, while steps go on", true};
}

void Saver::start_clock() {
  last_begun_ = seconds_now();
  if (policy_.measures())
    log::info("checkpoint every {} at first, then by what one costs (checkpoint.every = \"auto\")",
              seconds_text(policy_.seconds()));
}

bool Saver::due_by_time() const {
  return !checkpointer_.under_way() && policy_.due_by_time(seconds_now() - last_begun_);
}

void Saver::begin(const State& state, const CheckpointText& text, SaveMarks marks) {
  last_begun_ = seconds_now();
  beside_steps_ = 0;
  beside_seconds_ = 0;
  checkpointer_.begin(state, text, marks);
}

std::optional<FinishedSave> Saver::stretch_ended(std::int64_t steps, double seconds) {
  if (checkpointer_.under_way()) {
    beside_steps_ += steps;
    beside_seconds_ += seconds;
  } else {
    free_steps_ += steps;
    free_seconds_ += seconds;
  }
  auto saved = checkpointer_.advance();
  if (saved) learn(*saved);
  return saved;
}

std::optional<FinishedSave> Saver::finish() {
  auto saved = checkpointer_.finish();
  // Where steps do not wait in general, what they wait for at the end is not what a save costs.
  if (saved && !options_.background) learn(*saved);
  return saved;
}

std::optional<FinishedSave> Saver::finish_for_next() {
  const double start = seconds_now();
  auto saved = checkpointer_.finish();
  if (!saved) return saved;
  learn(*saved);
  waited_ += seconds_now() - start;
  if (waited_ > kNoticedWait && !said_slow_) {
    log::warn(
        "checkpoints are due before the ones before them are written, and steps have waited {} for "
        "that; save less often (checkpoint.every), or to a disk that takes more",
        seconds_text(waited_));
    said_slow_ = true;
  }
  return saved;
}

Restored Saver::restore_newest(State& state, std::int64_t most) {
  Restored restored = read_newest_checkpoint(communicator_, options_.dir, state, most);
  checkpointer_.distrust(restored.damaged);
  return restored;
}

// What a save has cost: the time that steps stood still, and what the steps beside it took longer
// than those before it.
void Saver::learn(FinishedSave& saved) {
  if (free_steps_ > 0) usual_ = free_seconds_ / static_cast<double>(free_steps_);
  if (usual_ > 0)
    saved.slowed = std::max(0.0, beside_seconds_ - static_cast<double>(beside_steps_) * usual_);
  free_steps_ = 0;
  free_seconds_ = 0;
  if (!policy_.learn(saved.stood + saved.slowed)) return;
  const int nodes = communicator_.topology().nodes();
  log::info("checkpoint every {}: one costs {}, and {} fails once in {} (checkpoint.mtbf)",
            seconds_text(policy_.seconds()), seconds_text(policy_.cost()),
            nodes == 1 ? "a node" : fmt::format("one of {} nodes", nodes), seconds_text(mtbf_));
}

}  // namespace lockstep::train
