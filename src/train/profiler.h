// Appends to profile.jsonl where the seconds of each window of steps went, rank by rank: one small
// gathering between two steps, of which the ranks see to it that it stays below a 2000th of the
// time.
#pragma once
#include <memory>

#include "train/appended_lines.h"
#include "train/observer.h"

namespace lockstep::train {

class Profiler final : public Observer {
 public:
  explicit Profiler(const Observed& observed);

  void begun(std::int64_t step) override;
  void ended(const Stretch& stretch) override;
  std::vector<std::string> report() override;  // closes the last window

 private:
  void open(std::int64_t step);
  void close_window();

  const Observed observed_;
  const std::int64_t least_;             // steps of a window
  std::unique_ptr<AppendedLines> file_;  // on rank 0
  bool recording_ = false;
  std::int64_t last_ = 0, steps_ = 0, every_;
  RankTimes before_;
  double gathering_ = 0, writing_ = 0;  // seconds that the last line took here
};

}  // namespace lockstep::train
