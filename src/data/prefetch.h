// The prefetch thread of a rank: decodes the windows of the rank's lanes ahead of their use, the
// lane that is furthest behind first. It never calls MPI; its errors surface in wait().
#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "order.h"
#include "samples.h"
#include "window_store.h"

namespace lockstep::data {

class Prefetch {
 public:
  // lanes[i] uses the store's slots of index i. Windows are numbered through the epochs:
  // epoch * cuts.windows() + window. Decoding starts at window `first`.
  Prefetch(const Samples& samples, const LoaderOptions& options, const Cuts& cuts,
           std::int64_t chunk, WindowStore& store, std::vector<std::int64_t> lanes,
           std::int64_t first);
  ~Prefetch();  // joins
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  // Blocks until the window is decoded; the windows of the lane before it are given back. Throws
  // the thread's error once the window can no longer come. Adds the time blocked to `waited`.
  Slot wait(int lane_index, std::int64_t number, double& waited);
  std::int64_t bytes_read() const;

 private:
  // Windows [released, decoded) of a lane are ready; the next to decode is `decoded`.
  struct LaneState {
    std::int64_t lane = 0, released = 0, decoded = 0;
    Samples::Kept kept;
  };
  void work();
  int furthest_behind() const;  // -1: all slots are full
  void decode(LaneState& lane, const Slot& slot, std::int64_t number);
  const EpochOrder& order_of(std::int64_t epoch);
  Slot slot_of(int lane_index, std::int64_t number) const;

  const Samples& samples_;
  const LoaderOptions& options_;
  const Cuts cuts_;
  const std::int64_t chunk_;
  WindowStore& store_;
  std::map<std::int64_t, EpochOrder>
      orders_;  // of the two epochs that lanes can be in; thread only

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::vector<LaneState> lanes_;
  std::int64_t bytes_read_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace lockstep::data
