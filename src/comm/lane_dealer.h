// Deals the lanes of a node to its ranks in proportion to their measured speed. Integers alone, so
// that all ranks deal alike from the same measurements. Knows neither memory nor lanes' names.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace lockstep::comm {

class LaneDealer {
 public:
  // A rank runs `streams` lanes at once, and `most` at most in a step.
  LaneDealer(std::vector<std::int64_t> loads, int streams, std::int64_t most);

  // Of the step that has ended: nanoseconds of each lane, the first rank's lanes first. True: the
  // loads are others from now on.
  bool measured(std::span<const std::int64_t> nanoseconds);
  const std::vector<std::int64_t>& loads() const { return loads_; }
  std::int64_t deals() const { return deals_; }

 private:
  std::int64_t time(int rank, std::int64_t load) const;
  std::int64_t slowest(const std::vector<std::int64_t>& loads) const;

  std::vector<std::int64_t> loads_, next_;
  std::vector<std::int64_t> cost_;  // by rank: nanoseconds of a lane, smoothed
  const int streams_;
  const std::int64_t most_;
  std::int64_t steps_ = 0, deals_ = 0;  // steps: since the last deal
};

// As many lanes as a rank of a node of `ranks` is ever dealt: twice the even share and one.
std::int64_t most_dealt(std::int64_t lanes, int ranks);

}  // namespace lockstep::comm
