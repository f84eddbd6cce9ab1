// The prefetch thread of a rank: decodes the windows of the rank's lanes ahead of their use, the
// lane that is furthest behind first, with other threads where options.threads > 1. It never calls
// MPI; its errors surface in wait().
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "decode_pool.h"
#include "order.h"
#include "samples.h"
#include "window_store.h"

namespace lockstep::data {

class Prefetch {
 public:
  // Of the lanes of this rank's part of the store. Windows are numbered through the epochs:
  // epoch * cuts.windows() + window. options.threads >= 1.
  Prefetch(const Samples& samples, const LoaderOptions& options, const Cuts& cuts,
           std::int64_t chunk, WindowStore& store);
  ~Prefetch();  // joins
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  // This rank's place for a lane is another lane's, whose windows from `first` on are decoded, or
  // nobody's (-1). No rank reads the place's windows meanwhile.
  void give_place(int lane_index, std::int64_t lane, std::int64_t first);

  // Blocks until the window is decoded, by this rank or the peer whose part it is; the windows of
  // the lane before it are given back. Throws the thread's error once the window can no longer
  // come. Adds the time blocked to `waited`.
  Slot wait(int part, int lane_index, std::int64_t number, double& waited);
  std::int64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }

 private:
  void work();
  int next_to_decode();  // marks it as busy; -1: all slots are full
  void is_decoded(int lane_index, std::int64_t number);
  void nobody_is_busy();
  int furthest_behind() const;
  void decode(int lane_index, std::int64_t number);
  Samples::Kept& kept_for(int lane_index, std::int64_t part, int thread);
  const EpochOrder& order_of(std::int64_t epoch);

  const Samples& samples_;
  const LoaderOptions& options_;
  const Cuts cuts_;
  const std::int64_t chunk_;
  WindowStore& store_;
  std::mutex places_;
  std::condition_variable not_busy_;
  int busy_ = -1;  // the place whose window is being decoded
  // Thread only:
  std::map<std::int64_t, EpochOrder> orders_;  // of the two epochs that lanes can be in
  struct Part {                                // of a window: samples that lie together in the file
    std::int64_t row, count, place;
  };
  std::vector<Part> parts_;
  // By lane: the units that a window begins and ends with, of which its neighbours have the rest.
  struct Ends {
    Samples::Kept begin, end;
  };
  std::vector<Ends> ends_;
  std::vector<Samples::Kept> kept_;  // by thread
  DecodePool pool_;

  std::atomic<std::int64_t> bytes_read_{0};
  std::atomic<bool> stop_{false};
  std::exception_ptr error_;  // written before the store fails
  std::thread thread_;        // last: starts when all else is there
};

}  // namespace lockstep::data
