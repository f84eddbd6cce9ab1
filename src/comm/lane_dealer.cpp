#include "lane_dealer.h"

#include <algorithm>
#include <numeric>

namespace lockstep::comm {
namespace {

constexpr std::int64_t kSteps = 4;       // between two deals; also the weight of what was measured
constexpr std::int64_t kWorthwhile = 5;  // percent of the slowest rank's time
constexpr std::int64_t kJump = 4;        // one measurement says at most so many times the last

}  // namespace

std::int64_t most_dealt(std::int64_t lanes, int ranks) {
  return std::min(lanes - (ranks - 1), 2 * ((lanes + ranks - 1) / ranks) + 1);
}

LaneDealer::LaneDealer(std::vector<std::int64_t> loads, int streams, std::int64_t most)
    : loads_(std::move(loads)),
      next_(loads_.size()),
      cost_(loads_.size()),
      streams_(streams),
      most_(most) {}

std::int64_t LaneDealer::time(int rank, std::int64_t load) const {
  return (load + streams_ - 1) / streams_ * cost_[rank];
}

std::int64_t LaneDealer::slowest(const std::vector<std::int64_t>& loads) const {
  std::int64_t most = 0;
  for (int r = 0; r < static_cast<int>(loads.size()); ++r) most = std::max(most, time(r, loads[r]));
  return most;
}

bool LaneDealer::measured(std::span<const std::int64_t> nanoseconds) {
  const int ranks = static_cast<int>(loads_.size());
  std::size_t lane = 0;
  for (int r = 0; r < ranks; ++r) {
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < loads_[r]; ++i) sum += nanoseconds[lane++];
    const std::int64_t now = std::max<std::int64_t>(1, sum / loads_[r]);
    std::int64_t& cost = cost_[r];
    cost = cost == 0 ? now : cost + (std::min(now, kJump * cost) - cost) / kSteps;
    cost = std::max<std::int64_t>(1, cost);
  }
  if (++steps_ < kSteps) return false;
  // Lane by lane to whoever is done first with one more: no deal has an earlier slowest rank.
  std::fill(next_.begin(), next_.end(), 1);
  for (std::int64_t left = static_cast<std::int64_t>(lane) - ranks; left > 0; --left) {
    int best = -1;
    for (int r = 0; r < ranks; ++r) {
      if (next_[r] == most_) continue;
      if (best < 0 || time(r, next_[r] + 1) < time(best, next_[best] + 1)) best = r;
    }
    ++next_[best];
  }
  if (slowest(next_) * 100 >= slowest(loads_) * (100 - kWorthwhile)) return false;
  loads_.swap(next_);
  steps_ = 0;
  ++deals_;
  return true;
}

}  // namespace lockstep::comm
