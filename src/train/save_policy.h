// When to save: every so many seconds, steps or epochs, only at the end, or as often as it pays.
#pragma once
#include <cstdint>
#include <string>

namespace lockstep::train {

// Seconds between two checkpoints that lose the least to saving and to work done again, where one
// costs `cost` seconds and the job fails once in `mtbf` (Daly 2006, eq. 37; Young 1974 is its first
// term).
double best_interval(double cost, double mtbf);

class SavePolicy {
 public:
  // "30s", "10min", "500steps", "1epoch", "end" or "auto", for which mtbf is the job's mean time
  // between failures in seconds. Throws UserError on anything else.
  explicit SavePolicy(const std::string& every, double mtbf = 0);

  bool counts() const { return steps_ > 0 || epochs_ > 0; }
  bool measures() const { return measures_; }
  double seconds() const { return seconds_; }  // between saves by the clock; 0: not by it
  // auto: what one save has cost in seconds. Returns whether the interval has changed noticeably.
  bool learn(double cost);
  double cost() const { return cost_; }

  // By the clock: asked before a step by one rank, whose answer all ranks follow.
  bool due_by_time(double seconds_since_save) const {
    return seconds_ > 0 && seconds_since_save >= seconds_;
  }
  // By count, the same on all ranks: after `steps` steps in all, with `epochs` whole epochs done if
  // this step ended one (else 0).
  bool due_by_count(std::int64_t steps, std::int64_t epochs) const {
    return (steps_ > 0 && steps % steps_ == 0) ||
           (epochs_ > 0 && epochs > 0 && epochs % epochs_ == 0);
  }

 private:
  double seconds_ = 0;
  std::int64_t steps_ = 0, epochs_ = 0;
  bool measures_ = false;
  double mtbf_ = 0, cost_ = -1, told_ = 0;
};

}  // namespace lockstep::train
