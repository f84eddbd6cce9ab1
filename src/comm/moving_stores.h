// The node stores of one rank's streams where lanes move: a stream's own lanes come in order but
// may end anywhere, and leaves that it has taken from others stay whole. Thread-safe across
// streams. Knows neither peers nor messages.
#pragma once
#include <cstdint>
#include <vector>

#include "fold_memory.h"
#include "lane_claims.h"
#include "pages.h"

namespace lockstep::comm {

class MovingStores {
 public:
  // slots: this rank's, RankStores::slots places of slot_floats floats.
  MovingStores(const FoldPlan& plan, float* slots, std::int64_t slot_floats,
               const FoldArithmetic& arithmetic);

  void open(int stream, const Claim& claim);  // the lane that the stream runs from now on
  float* leaf(int stream, std::int64_t lane, int bucket);
  void push(int stream, std::int64_t lane, int bucket);
  void end_step();
  double seconds() const;  // adding, over all streams

 private:
  // Own nodes wait in lane order, node i in slot i; what arrives merges with the last of them.
  struct alignas(64) Stream {
    std::vector<Node> waiting;
    std::int64_t lane = -1;
    int slot = -1;   // where the lane's leaf lies; -1: it is added to the last node that waits
    int merges = 0;  // that follow it
    double seconds = 0;
  };
  float* slot(int stream, int i) const {
    return slots_ + (plan_.moves.first_slot(stream) + i) * slot_floats_;
  }

  const FoldPlan& plan_;
  float* const slots_;
  const std::int64_t slot_floats_;
  const FoldArithmetic arithmetic_;
  Pages scratch_;
  std::vector<Stream> streams_;
};

}  // namespace lockstep::comm
