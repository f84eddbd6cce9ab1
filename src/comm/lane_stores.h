// The node stores of one rank's streams: where a lane's leaf is written, and the merges that follow
// when it is complete. Thread-safe across streams. Knows neither peers nor messages.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "fold_plan.h"
#include "pages.h"

namespace lockstep::comm {

class LaneStores {
 public:
  // slots: RankStores::slots places of slot_floats floats, element e of the flat buffer at [e].
  LaneStores(const FoldLayout& layout, const RankStores& stores, float* slots,
             std::int64_t slot_floats, const FoldArithmetic& arithmetic);

  LaneRange lanes(int stream) const { return stores_.streams[stream].lanes; }
  float* leaf(int stream, std::int64_t lane, int bucket);
  // Merges siblings. True for the rank's last push of this bucket in this step.
  bool push(int stream, std::int64_t lane, int bucket);
  void end_step();  // every bucket must be complete
  float* slot(int index) const { return slots_ + index * slot_floats_; }
  double seconds() const;  // adding, over all streams

 private:
  const Arrival& arrival(int stream, std::int64_t lane) const;
  float* scratch(int stream, int bucket) const;

  const FoldLayout& layout_;
  const RankStores& stores_;
  std::vector<BucketBlocks> blocks_;
  float* slots_;
  std::int64_t slot_floats_;
  FoldArithmetic arithmetic_;
  std::int64_t scratch_floats_ = 0;  // of one bucket
  int scratch_buckets_ = 0;
  std::vector<int> scratch_index_;  // by stream; -1: none
  Pages scratch_;
  std::unique_ptr<std::atomic<int>[]> complete_streams_;  // by bucket
  struct alignas(64) Seconds {
    double value = 0;
  };
  std::vector<Seconds> seconds_;  // by stream
};

}  // namespace lockstep::comm
