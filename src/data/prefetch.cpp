#include "prefetch.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>

#include "lockstep/core/crash.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "lockstep/core/isa.h"

namespace lockstep::data {

Prefetch::Prefetch(const Samples& samples, const LoaderOptions& options, const Cuts& cuts,
                   std::int64_t chunk, WindowStore& store)
    : samples_(samples),
      options_(options),
      cuts_(cuts),
      chunk_(chunk),
      store_(store),
      ends_(static_cast<std::size_t>(store.lanes(store.local()))),
      kept_(static_cast<std::size_t>(options.threads)),
      pool_(options.threads) {
  parts_.reserve(static_cast<std::size_t>(cuts.window));
  // Signals are the main thread's: the new thread inherits a mask that blocks them all.
  sigset_t all, before;
  sigfillset(&all);
  crash::leave_open(all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Prefetch::~Prefetch() {
  stop_ = true;
  store_.signal(store_.local()).raise();
  thread_.join();
}

Slot Prefetch::wait(int part, int lane_index, std::int64_t number, double& waited) {
  if (!store_.await(part, lane_index, number, waited)) {
    if (part == store_.local()) std::rethrow_exception(error_);
    throw DataError("{}", store_.error(part));
  }
  return store_.slot(part, lane_index, number);
}

int Prefetch::furthest_behind() const {
  int best = -1;
  std::int64_t least = 0;
  for (int i = 0; i < static_cast<int>(ends_.size()); ++i) {
    const LaneProgress& lane = store_.progress(store_.local(), i);
    if (lane.lane.load(std::memory_order_relaxed) < 0) continue;
    const std::int64_t decoded = lane.decoded.load(std::memory_order_relaxed);
    if (decoded - lane.released.load(std::memory_order_acquire) >= store_.slots()) continue;
    if (best < 0 || decoded < least) best = i, least = decoded;
  }
  return best;
}

int Prefetch::next_to_decode() {
  const std::scoped_lock lock(places_);
  return busy_ = stop_ ? -1 : furthest_behind();
}

void Prefetch::nobody_is_busy() {
  const std::scoped_lock lock(places_);
  busy_ = -1;
  not_busy_.notify_all();
}

void Prefetch::is_decoded(int lane_index, std::int64_t number) {
  store_.progress(store_.local(), lane_index).decoded.store(number + 1, std::memory_order_release);
  nobody_is_busy();
}

void Prefetch::give_place(int lane_index, std::int64_t lane, std::int64_t first) {
  std::unique_lock lock(places_);
  not_busy_.wait(lock, [&] { return busy_ != lane_index; });
  LaneProgress& place = store_.progress(store_.local(), lane_index);
  place.released.store(first, std::memory_order_relaxed);
  place.decoded.store(first, std::memory_order_relaxed);
  place.lane.store(lane, std::memory_order_relaxed);
  store_.signal(store_.local()).raise();
}

void Prefetch::work() {
  set_float_environment();
  events::name_thread("reader");
  PartSignal& signal = store_.signal(store_.local());
  try {
    while (!stop_) {
      const std::uint32_t seen = signal.seen();
      const int index = next_to_decode();
      if (index < 0) {
        if (!stop_) signal.wait(seen);
        continue;
      }
      LaneProgress& lane = store_.progress(store_.local(), index);
      // Lanes may skip windows.
      const std::int64_t number = std::max(lane.decoded.load(std::memory_order_relaxed),
                                           lane.released.load(std::memory_order_acquire));
      {
        const events::Span span(events::Kind::kFile, "reading a window",
                                {.number = static_cast<std::int32_t>(lane.lane)});
        decode(index, number);
      }
      is_decoded(index, number);
      signal.raise();
    }
  } catch (const std::exception& error) {
    error_ = std::current_exception();
    nobody_is_busy();
    store_.fail(error.what());
  }
}

const EpochOrder& Prefetch::order_of(std::int64_t epoch) {
  const auto known = orders_.find(epoch);
  if (known != orders_.end()) return known->second;
  while (orders_.size() >= 2) orders_.erase(orders_.begin());
  return orders_.try_emplace(epoch, samples_.count(), chunk_, options_, epoch).first->second;
}

// One thread decodes the parts in order, so that all may share what is kept.
Samples::Kept& Prefetch::kept_for(int lane_index, std::int64_t part, int thread) {
  Ends& ends = ends_[static_cast<std::size_t>(lane_index)];
  if (part == 0 || pool_.threads() == 1) return ends.begin;
  if (part == static_cast<std::int64_t>(parts_.size()) - 1) return ends.end;
  return kept_[static_cast<std::size_t>(thread)];
}

// Touches only the slot and the lane's kept chunks, which nobody else uses meanwhile.
void Prefetch::decode(int lane_index, std::int64_t number) {
  const std::int64_t lane = store_.progress(store_.local(), lane_index).lane;
  const Slot slot = store_.slot(store_.local(), lane_index, number);
  const std::int64_t epoch = number / cuts_.windows(), window = number % cuts_.windows();
  const std::int64_t count = cuts_.window_samples(window);
  const std::int64_t begin = lane * cuts_.segment + window * cuts_.window;
  const EpochOrder& order = order_of(epoch);
  const std::size_t input_bytes = samples_.input().sample_bytes();
  const std::size_t target_bytes = samples_.target().sample_bytes();
  parts_.clear();
  for (std::int64_t i = 0; i < count;) {
    const EpochOrder::Run run = order.run(begin + i);
    parts_.push_back({run.row, std::min(run.count, count - i), i});
    i += parts_.back().count;
  }
  const auto parts = static_cast<std::int64_t>(parts_.size());
  pool_.run(parts, [&](std::int64_t p, int thread) {
    const Part& part = parts_[static_cast<std::size_t>(p)];
    const auto at = static_cast<std::size_t>(part.place);
    bytes_read_.fetch_add(
        samples_.read(part.row, part.count, slot.input + at * input_bytes,
                      slot.target + at * target_bytes, kept_for(lane_index, p, thread)),
        std::memory_order_relaxed);
  });
  // The next window begins where this one ended.
  if (parts > 1 && pool_.threads() > 1) {
    Ends& ends = ends_[static_cast<std::size_t>(lane_index)];
    std::swap(ends.begin, ends.end);
  }
  shuffle_window(options_, epoch, lane, window, static_cast<std::uint32_t>(count), slot.order);
}

}  // namespace lockstep::data
