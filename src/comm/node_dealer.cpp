#include "node_dealer.h"

#include <algorithm>

namespace lockstep::comm {
namespace {

// As many must have been measured: what a node gets is its lot for a window at least, so what
// passes in a moment should not decide it.
constexpr std::int64_t kSteps = 8;

}  // namespace

NodeDealer::NodeDealer(const Topology& topology, std::int64_t lanes, int streams)
    : topology_(topology),
      lanes_(lanes),
      streams_(streams),
      limits_(deal_limits(topology, lanes)),
      cut_(cut_lanes(lanes, topology.ranks())),
      nanoseconds_(topology.ranks()),
      ran_(topology.ranks()),
      cost_(topology.ranks()) {}

void NodeDealer::ran(std::int64_t position, std::int64_t nanoseconds) {
  nanoseconds_[position] += nanoseconds;
  ++ran_[position];
}

void NodeDealer::forget() {
  std::fill(nanoseconds_.begin(), nanoseconds_.end(), 0);
  std::fill(ran_.begin(), ran_.end(), 0);
  steps_ = 0;
}

bool NodeDealer::deal() {
  if (steps_ < kSteps) return false;
  for (std::size_t p = 0; p < cost_.size(); ++p)
    cost_[p] = std::max<std::int64_t>(1, nanoseconds_[p] / std::max<std::int64_t>(1, ran_[p]));
  forget();
  // What the nodes' own ranks can gain by dealing anew is theirs already.
  const std::vector<std::int64_t> loads = dealt(limits_.node);
  const std::int64_t now = slowest(dealt(node_lanes()));
  if (slowest(loads) * 100 >= now * (100 - kWorthwhile)) return false;
  std::int64_t begin = 0;
  for (std::size_t p = 0; p < loads.size(); ++p) {
    cut_[p] = {begin, begin + loads[p]};
    begin += loads[p];
  }
  return true;
}

std::vector<std::int64_t> NodeDealer::node_lanes() const {
  std::vector<std::int64_t> lanes;
  for (int node = 0; node < topology_.nodes(); ++node) {
    lanes.push_back(cut_[topology_.node_begin[node + 1] - 1].end -
                    cut_[topology_.node_begin[node]].begin);
  }
  return lanes;
}

// The earliest end of all deals in which no node has more lanes than node_most. A limit on ranks
// and one on groups of them leave lane by lane as good as any other way (a polymatroid).
std::vector<std::int64_t> NodeDealer::dealt(const std::vector<std::int64_t>& node_most) const {
  std::vector<std::int64_t> loads(cost_.size(), 1);
  const auto may = [&](int position) {
    const int node = topology_.node_of[position];
    std::int64_t of_node = 0;
    for (int p = topology_.node_begin[node]; p < topology_.node_begin[node + 1]; ++p)
      of_node += loads[p];
    return of_node < node_most[node] && loads[position] < limits_.rank[node];
  };
  deal_one_by_one(
      loads, lanes_ - topology_.ranks(),
      [this](int position, std::int64_t load) { return time(position, load); }, may);
  return loads;
}

std::int64_t NodeDealer::slowest(const std::vector<std::int64_t>& loads) const {
  std::int64_t most = 0;
  for (std::size_t p = 0; p < loads.size(); ++p)
    most = std::max(most, time(static_cast<int>(p), loads[p]));
  return most;
}

}  // namespace lockstep::comm
