#include "lane_dealer.h"

#include <algorithm>

#include "lockstep/comm/fold.h"

namespace lockstep::comm {
namespace {

constexpr std::int64_t kSteps = 4;  // between two deals; also the weight of what was measured
constexpr std::int64_t kJump = 4;   // one measurement says at most so many times the last

}  // namespace

std::int64_t most_dealt(std::int64_t lanes, int ranks) {
  return std::min(lanes - (ranks - 1), 2 * ((lanes + ranks - 1) / ranks) + 1);
}

DealLimits deal_limits(const Topology& topology, std::int64_t lanes) {
  DealLimits limits;
  const auto even = cut_lanes(lanes, topology.ranks());
  for (int node = 0; node < topology.nodes(); ++node) {
    const int first = topology.node_begin[node], end = topology.node_begin[node + 1];
    const std::int64_t ranks = end - first, share = even[end - 1].end - even[first].begin;
    const std::int64_t most = std::min(lanes - (topology.ranks() - ranks), 2 * share + 1);
    limits.node.push_back(most);
    limits.rank.push_back(std::min(most - (ranks - 1), 2 * ((share + ranks - 1) / ranks) + 1));
  }
  return limits;
}

std::int64_t lane_places(const Topology& topology, std::int64_t lanes, Dealing dealing) {
  const auto even = cut_lanes(lanes, topology.ranks());
  const std::int64_t mine = even[topology.position].size();
  if (dealing != Dealing::kMeasured || topology.nodes() == 1) return mine;
  const std::int64_t most = deal_limits(topology, lanes).node[topology.node()];
  const int ranks = topology.local_ranks();
  return std::max(mine, (most + ranks - 1) / ranks);
}

LaneDealer::LaneDealer(std::vector<std::int64_t> loads, int streams, std::int64_t most)
    : loads_(std::move(loads)),
      next_(loads_.size()),
      cost_(loads_.size()),
      streams_(streams),
      most_(most) {}

std::int64_t LaneDealer::time(int rank, std::int64_t load) const {
  return rank_time(load, streams_, cost_[rank]);
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
  std::fill(next_.begin(), next_.end(), 1);
  deal_one_by_one(
      next_, static_cast<std::int64_t>(lane) - ranks,
      [this](int rank, std::int64_t load) { return time(rank, load); },
      [this](int rank) { return next_[rank] < most_; });
  if (slowest(next_) * 100 >= slowest(loads_) * (100 - kWorthwhile)) return false;
  loads_.swap(next_);
  steps_ = 0;
  ++deals_;
  return true;
}

}  // namespace lockstep::comm
