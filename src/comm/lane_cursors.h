// Hands out the lanes of each stream of a rank, in order, once a step.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/comm/node_store.h"

namespace lockstep::comm {

class LaneCursors {
 public:
  void add(LaneRange lanes) { streams_.push_back({lanes, lanes.begin}); }
  const LaneRange& lanes(int stream) const { return streams_[stream].lanes; }
  std::int64_t next(int stream) {
    Stream& s = streams_[stream];
    return s.at < s.lanes.end ? s.at++ : -1;
  }
  void begin_step() {
    for (Stream& s : streams_) s.at = s.lanes.begin;
  }

 private:
  struct alignas(64) Stream {
    LaneRange lanes;
    std::int64_t at = 0;
  };
  std::vector<Stream> streams_;
};

}  // namespace lockstep::comm
