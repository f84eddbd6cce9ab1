// How many samples of an epoch could not be trusted, over all ranks, with data.on_error = "skip":
// told when the epoch ends, and too many of them end the run on all ranks alike.
#pragma once
#include <string>
#include <vector>

#include "train/observer.h"

namespace lockstep::train {

class SkippedSamples final : public Observer {
 public:
  explicit SkippedSamples(const Observed& observed) : observed_(observed) {}
  void ended(const Stretch& stretch) override;
  std::vector<std::string> report() override;

 private:
  std::int64_t over_all_ranks() const;  // collective
  Observed observed_;
  std::int64_t told_ = 0;  // of them, in the epochs before
  std::int64_t epochs_ = 0;
};

}  // namespace lockstep::train
