#include "train/skipped_samples.h"

#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/log.h"

namespace lockstep::train {

std::int64_t SkippedSamples::over_all_ranks() const {
  const std::int64_t mine = observed_.times().skipped;
  const auto all = observed_.communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::int64_t sum = 0;
  for (std::size_t at = 0; at < all.size(); at += sizeof sum) {
    std::int64_t one;
    std::memcpy(&one, all.data() + at, sizeof one);
    sum += one;
  }
  return sum;
}

void SkippedSamples::ended(const Stretch& stretch) {
  const std::int64_t epoch = observed_.steps_per_epoch;
  if ((stretch.step - stretch.steps) / epoch == stretch.step / epoch) return;
  const std::int64_t all = over_all_ranks(), now = all - told_;
  told_ = all;
  const std::int64_t samples = epoch * observed_.run.train.batch;
  if (now > 0)
    log::info("{} samples were skipped by step {} that could not be trusted, {:.3g} % of an epoch",
              now, stretch.step, 100.0 * static_cast<double>(now) / static_cast<double>(samples));
  // Of the epochs so far and the one whose windows are read ahead.
  const double read = static_cast<double>((++epochs_ + 1) * samples);
  if (static_cast<double>(all) > observed_.run.data.max_skipped * read)
    throw DataError(
        "{} samples could not be trusted in {} epochs of {}, more than data.max_skipped = {} of "
        "them; `lockstep inspect --check` names the first: clean the data, or raise the limit",
        all, epochs_, samples, observed_.run.data.max_skipped);
}

std::vector<std::string> SkippedSamples::report() {
  return {fmt::format("samples skipped that could not be trusted: {}", over_all_ranks())};
}

}  // namespace lockstep::train
