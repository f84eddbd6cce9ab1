#include "prefetch.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/isa.h"

namespace lockstep::data {

Prefetch::Prefetch(const Samples& samples, const LoaderOptions& options, const Cuts& cuts,
                   std::int64_t chunk, WindowStore& store, std::vector<std::int64_t> lanes,
                   std::int64_t first)
    : samples_(samples), options_(options), cuts_(cuts), chunk_(chunk), store_(store) {
  for (const std::int64_t lane : lanes) {
    LaneState state;
    state.lane = lane;
    state.released = state.decoded = first;
    lanes_.push_back(std::move(state));
  }
  // Signals are the main thread's: the new thread inherits a mask that blocks them all.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Prefetch::~Prefetch() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Slot Prefetch::slot_of(int lane_index, std::int64_t number) const {
  return store_.slot(lane_index, static_cast<int>(number % WindowStore::kSlotsPerLane));
}

Slot Prefetch::wait(int lane_index, std::int64_t number, double& waited) {
  std::unique_lock lock(mutex_);
  LaneState& lane = lanes_[static_cast<std::size_t>(lane_index)];
  LOCKSTEP_CHECK(number >= lane.released, "lane {} goes back from window {} to {}", lane.lane,
                 lane.released, number);
  if (number > lane.released) {
    for (std::int64_t n = lane.released; n < std::min(number, lane.decoded); ++n)
      slot_of(lane_index, n).header->state.store(SlotState::kFree, std::memory_order_relaxed);
    lane.released = number;
    lane.decoded = std::max(lane.decoded, number);
    changed_.notify_all();
  }
  if (lane.decoded <= number) {
    const ScopedTimer timer(waited);
    changed_.wait(lock, [&] { return lane.decoded > number || error_ != nullptr; });
    if (lane.decoded <= number) std::rethrow_exception(error_);
  }
  return slot_of(lane_index, number);
}

std::int64_t Prefetch::bytes_read() const {
  const std::scoped_lock lock(mutex_);
  return bytes_read_;
}

int Prefetch::furthest_behind() const {
  int best = -1;
  for (int i = 0; i < static_cast<int>(lanes_.size()); ++i) {
    const LaneState& lane = lanes_[static_cast<std::size_t>(i)];
    if (lane.decoded - lane.released >= WindowStore::kSlotsPerLane) continue;
    if (best < 0 || lane.decoded < lanes_[static_cast<std::size_t>(best)].decoded) best = i;
  }
  return best;
}

void Prefetch::work() {
  set_float_environment();
  std::unique_lock lock(mutex_);
  try {
    while (true) {
      int index = -1;
      changed_.wait(lock, [&] { return stop_ || (index = furthest_behind()) >= 0; });
      if (stop_) return;
      LaneState& lane = lanes_[static_cast<std::size_t>(index)];
      const std::int64_t number = lane.decoded;
      const Slot slot = slot_of(index, number);
      lock.unlock();
      decode(lane, slot, number);
      lock.lock();
      // The lane may have skipped this window in the meantime.
      if (lane.decoded == number) lane.decoded = number + 1;
      changed_.notify_all();
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

const EpochOrder& Prefetch::order_of(std::int64_t epoch) {
  const auto known = orders_.find(epoch);
  if (known != orders_.end()) return known->second;
  while (orders_.size() >= 2) orders_.erase(orders_.begin());
  return orders_.try_emplace(epoch, samples_.count(), chunk_, options_, epoch).first->second;
}

// Touches only the slot and the lane's kept chunks, which nobody else uses meanwhile.
void Prefetch::decode(LaneState& lane, const Slot& slot, std::int64_t number) {
  const std::int64_t epoch = number / cuts_.windows(), window = number % cuts_.windows();
  const std::int64_t count = cuts_.window_samples(window);
  const std::int64_t begin = lane.lane * cuts_.segment + window * cuts_.window;
  slot.header->state.store(SlotState::kFilling, std::memory_order_relaxed);
  slot.header->epoch = epoch;
  slot.header->lane = lane.lane;
  slot.header->window = window;
  slot.header->samples = count;
  const EpochOrder& order = order_of(epoch);
  const std::size_t input_bytes = samples_.input().sample_bytes();
  const std::size_t target_bytes = samples_.target().sample_bytes();
  std::int64_t bytes = 0;
  for (std::int64_t i = 0; i < count;) {
    const EpochOrder::Run run = order.run(begin + i);
    const std::int64_t rows = std::min(run.count, count - i);
    const auto at = static_cast<std::size_t>(i);
    bytes += samples_.read(run.row, rows, slot.input + at * input_bytes,
                           slot.target + at * target_bytes, lane.kept);
    i += rows;
  }
  samples_.check(slot.input, slot.target, count,
                 [&](std::int64_t i) { return order.run(begin + i).row; });
  shuffle_window(options_, epoch, lane.lane, window, static_cast<std::uint32_t>(count), slot.order);
  slot.header->state.store(SlotState::kReady, std::memory_order_release);
  const std::scoped_lock lock(mutex_);
  bytes_read_ += bytes;
}

}  // namespace lockstep::data
