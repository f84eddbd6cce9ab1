// Deals lanes between nodes, and so to all ranks, in proportion to the speed that was measured
// since the last look. Integers alone, so that all ranks deal alike from the same measurements.
// Knows neither windows of the data nor what a switch takes.
#pragma once
#include <cstdint>
#include <vector>

#include "lane_dealer.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/comm/node_store.h"

namespace lockstep::comm {

class NodeDealer {
 public:
  // A rank runs `streams` lanes at once.
  NodeDealer(const Topology& topology, std::int64_t lanes, int streams);

  // Of the step that ends next: a lane took so long on the rank at `position`.
  void ran(std::int64_t position, std::int64_t nanoseconds);
  void end_step() { ++steps_; }
  void forget();  // what was measured
  // Looks at what was measured, if there was enough, and forgets it. True: cut() is another now,
  // because whole nodes' lanes should change.
  bool deal();
  const std::vector<LaneRange>& cut() const { return cut_; }  // by position

 private:
  std::vector<std::int64_t> dealt(const std::vector<std::int64_t>& node_most) const;
  std::int64_t slowest(const std::vector<std::int64_t>& loads) const;
  std::vector<std::int64_t> node_lanes() const;
  std::int64_t time(int position, std::int64_t load) const {
    return rank_time(load, streams_, cost_[position]);
  }

  const Topology topology_;
  const std::int64_t lanes_;
  const int streams_;
  const DealLimits limits_;
  std::vector<LaneRange> cut_;
  std::vector<std::int64_t> nanoseconds_, ran_;  // by position, since the last look
  std::vector<std::int64_t> cost_;               // nanoseconds of a lane
  std::int64_t steps_ = 0;
};

}  // namespace lockstep::comm
