// Names ranks that are slow at their own work, and says when they no longer are. Ranks compare
// what they have measured every few windows' steps: one small gathering, between two steps.
#pragma once
#include <string>
#include <vector>

#include "lockstep/comm/links.h"
#include "train/observer.h"
#include "train/straggler_judge.h"

namespace lockstep::train {

class Stragglers final : public Observer {
 public:
  explicit Stragglers(const Observed& observed);
  void begun(std::int64_t step) override;
  void ended(const Stretch& stretch) override;
  std::vector<std::string> report() override { return lines_; }

 private:
  void compare(std::int64_t step);
  void look_at_links(std::int64_t step, std::span<const RankWindow> window);
  void say(std::int64_t step, const Finding& finding);
  void record(std::int64_t step, const char* event, const std::string& why);

  const Observed observed_;
  StragglerJudge judge_;
  std::vector<std::string> who_;  // by position: "rank 2 (host n7)"
  RankTimes times_before_;
  PassTimes passes_before_;
  std::int64_t every_, steps_ = 0;  // between comparisons, and since the last one
  double seconds_ = 0;
  int waiting_windows_ = 0, looks_ = 0;
  std::vector<std::string> lines_;  // for the end report
};

// "" or what is wrong: a pair of ranks with much less bandwidth than the median pair has.
std::string slow_link_text(const comm::PairLinks& links,
                           const std::vector<std::string>& who_by_rank);

}  // namespace lockstep::train
