#include "train/resume_check.h"

#include "lockstep/core/error.h"

namespace lockstep::train {
namespace {

template <class Value>
void compare(std::string& text, const char* key, const Value& stored, const Value& now) {
  if (stored == now) return;
  text +=
      fmt::format("{}{} = {} ({} in the checkpoint)", text.empty() ? "" : ", ", key, now, stored);
}

}  // namespace

std::string changed_order(const Run& stored, const Run& run) {
  std::string text;
  compare(text, "train.batch", stored.train.batch, run.train.batch);
  compare(text, "train.lanes", stored.train.lanes, run.train.lanes);
  compare(text, "train.seed", stored.train.seed, run.train.seed);
  compare(text, "data.shuffle", name_of(stored.data.shuffle), name_of(run.data.shuffle));
  if (run.data.shuffle == data::Shuffle::kWindow)
    compare(text, "data.window", stored.data.window, run.data.window);
  compare(text, "data.train", stored.data.train, run.data.train);
  return text;
}

void check_position(const std::string& checkpoint, data::Position at, std::int64_t steps_per_epoch,
                    const std::string& changed) {
  if (at.step == 0) return;
  if (!changed.empty())
    throw UserError(
        "cannot go on from {} in the middle of epoch {} with {}: that is another order of samples; "
        "resume with the same values, or from a checkpoint at the end of an epoch",
        checkpoint, at.epoch + 1, changed);
  if (at.step >= steps_per_epoch)
    throw UserError(
        "cannot go on from {}: it stands at step {} of epoch {}, and this dataset has {} steps to "
        "the epoch; resume with the dataset that it was made with (data.path)",
        checkpoint, at.step, at.epoch + 1, steps_per_epoch);
}

}  // namespace lockstep::train
