// When to save: every so many seconds, steps or epochs, or only at the end.
#pragma once
#include <cstdint>
#include <string>

namespace lockstep::train {

class SavePolicy {
 public:
  // "30s", "10min", "500steps", "1epoch" or "end". Throws UserError on anything else.
  explicit SavePolicy(const std::string& every);

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
};

}  // namespace lockstep::train
