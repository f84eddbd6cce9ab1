// Deals the lanes of a node to its ranks in proportion to their measured speed, and how many lanes
// a rank or a node is ever dealt. Integers alone, so that all ranks deal alike from the same
// measurements. Knows neither memory nor lanes' names.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "lockstep/comm/communicator.h"

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

// As many as a node and each of its ranks are ever dealt, between nodes too: twice their even share
// and one, and never so many that a rank elsewhere would have none.
struct DealLimits {
  std::vector<std::int64_t> node, rank;  // rank: of a node, any of its ranks
};
DealLimits deal_limits(const Topology& topology, std::int64_t lanes);

inline constexpr std::int64_t kWorthwhile = 5;  // percent of the slowest rank's time

// What a rank of `streams` takes for so many lanes of `cost` each.
inline std::int64_t rank_time(std::int64_t load, int streams, std::int64_t cost) {
  return (load + streams - 1) / streams * cost;
}
// Lane by lane to whichever rank is done first with one more, of those that may have one more: no
// deal within the limits has an earlier slowest rank. loads: what each has already.
template <class Time, class May>
void deal_one_by_one(std::span<std::int64_t> loads, std::int64_t left, Time time, May may) {
  for (; left > 0; --left) {
    int best = -1;
    for (int r = 0; r < static_cast<int>(loads.size()); ++r) {
      if (!may(r)) continue;
      if (best < 0 || time(r, loads[r] + 1) < time(best, loads[best] + 1)) best = r;
    }
    ++loads[best];
  }
}

}  // namespace lockstep::comm
