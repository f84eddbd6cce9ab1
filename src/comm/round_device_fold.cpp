#include "round_device_fold.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::comm {
namespace {

std::size_t bytes_of(std::int64_t floats) {
  return static_cast<std::size_t>(floats) * sizeof(float);
}

}  // namespace

RoundDeviceFold::RoundDeviceFold(Waiter& waiter, const FoldDevice& device,
                                 std::unique_ptr<RoundFold> host)
    : waiter_(waiter),
      device_(*device.device),
      arithmetic_(*device.arithmetic),
      host_(std::move(host)),
      plan_(host_->plan()),
      leaves_(device_, host_->leaf_pages()),
      store_(device_, host_->store_pages()),
      streams_(std::make_unique<Lanes[]>(static_cast<std::size_t>(plan_.layout.streams))),
      sums_(device_.allocate(bytes_of(plan_.slot_floats), "the sums of this rank's shard")),
      uploads_(device_.make_stream()),
      uploaded_(device_.make_event()),
      read_(device_.make_event()) {
  for (int s = 0; s < plan_.streams_of(plan_.topology.position); ++s) {
    Lanes& lanes = streams_[s];
    lanes.leaves = device_.allocate(bytes_of(kPlaces * plan_.leaf_floats), "a lane's gradients");
    lanes.copies = device_.make_stream();
    for (Place& place : lanes.places) {
      place.written = device_.make_event();
      place.copied = device_.make_event();
    }
  }
  waiter_.serve(this, [this] {
    move_all();
    bring_sums();
  });
}

// What still runs reads and writes what is about to go.
RoundDeviceFold::~RoundDeviceFold() {
  waiter_.leave(this);
  try {
    for (int s = 0; s < plan_.streams_of(plan_.topology.position); ++s)
      streams_[s].copies->synchronize();
    uploads_->synchronize();
    read_->synchronize();
  } catch (const Error&) {
  }
}

std::size_t RoundDeviceFold::device_bytes(const RoundPlan& plan) {
  const int streams = plan.streams_of(plan.topology.position);
  return bytes_of(streams * kPlaces * plan.leaf_floats + plan.slot_floats);
}

std::size_t RoundDeviceFold::device_bytes() const { return device_bytes(plan_); }

std::string RoundDeviceFold::path() const { return host_->path(); }

std::int64_t RoundDeviceFold::lane_of(int stream, int tick) const {
  const int position = plan_.topology.position;
  return plan_.lanes_of(plan_.round_of(tick), position, position + 1).begin + stream;
}

float* RoundDeviceFold::place(int stream, int tick) const {
  return streams_[stream].leaves.as<float>() + tick % kPlaces * plan_.leaf_floats;
}

// The copies that are waited for here depend on the host alone: on this rank's peers having read an
// earlier bucket. So streams of a rank never wait for each other, as those of the host's fold.
float* RoundDeviceFold::leaf(int stream, std::int64_t lane, int bucket) {
  Lanes& s = streams_[stream];
  const int tick = tick_of(lane, bucket);
  if (tick < s.opened) return place(stream, tick);
  LOCKSTEP_CHECK(tick == s.opened && s.work != nullptr, "bucket {} of lane {} out of order", bucket,
                 lane);
  const auto given = [&] { return s.given.load(std::memory_order_acquire) > tick - kPlaces; };
  if (std::this_thread::get_id() == own_thread_) {
    waiter_.wait({"the readers of an earlier bucket", bucket}, [&] {
      if (!given()) progress();
      return given();
    });
  } else {
    spin_until([&] {
      if (!given()) move(stream);
      return given();
    });
  }
  s.places[tick % kPlaces].copied->wait(*s.work);
  s.opened = tick + 1;
  return place(stream, tick);
}

void RoundDeviceFold::mark(int stream, int bucket, Stream& work) {
  Lanes& s = streams_[stream];
  const int tick = s.pushed.load(std::memory_order_relaxed);
  LOCKSTEP_CHECK(tick < s.opened && plan_.bucket_of(tick) == bucket,
                 "bucket {} of stream {} out of order", bucket, stream);
  s.places[tick % kPlaces].written->record(work);
}

void RoundDeviceFold::push(int stream, std::int64_t lane, int bucket) {
  Lanes& s = streams_[stream];
  const int tick = tick_of(lane, bucket);
  LOCKSTEP_CHECK(tick == s.pushed.load(std::memory_order_relaxed) && tick < s.opened,
                 "bucket {} of lane {} out of order", bucket, lane);
  s.pushed.store(tick + 1, std::memory_order_release);
  std::this_thread::get_id() == own_thread_ ? progress() : move(stream);
}

// Whoever finds another at it leaves it to him: he, or the next to look, goes on.
void RoundDeviceFold::move(int stream) {
  Lanes& s = streams_[stream];
  const std::unique_lock lock(s.giving, std::try_to_lock);
  if (!lock) return;
  int given = s.given.load(std::memory_order_relaxed);
  const int pushed = s.pushed.load(std::memory_order_acquire);
  while (given < pushed && host_->leaf_is_free(given)) {
    Place& from = s.places[given % kPlaces];
    const int bucket = plan_.bucket_of(given);
    float* const to = host_->leaf(stream, lane_of(stream, given), bucket);
    float* const leaf = place(stream, given);
    const std::int64_t elements = plan_.layout.buckets[bucket].size();
    from.written->wait(*s.copies);
    if (plan_.layout.leaf == LeafType::kBf16)
      arithmetic_.round_to_bf16(leaf, leaf, elements, *s.copies);
    device_.copy(to, leaf, bytes_of(elements), *s.copies);
    from.copied->record(*s.copies);
    s.given.store(++given, std::memory_order_release);
  }
  while (s.handed < given && s.places[s.handed % kPlaces].copied->done()) {
    host_->push(stream, lane_of(stream, s.handed), plan_.bucket_of(s.handed));
    ++s.handed;
  }
}

void RoundDeviceFold::move_all() {
  for (int s = 0; s < plan_.streams_of(plan_.topology.position); ++s) move(s);
}

void RoundDeviceFold::progress() {
  move_all();
  host_->progress();
  bring_sums();
}

// Sums of a step overwrite those of the one before on the device when these have been read.
void RoundDeviceFold::bring_sum(int bucket) {
  if (bucket == 0) read_->wait(*uploads_);
  const std::int64_t at = plan_.shard_begin[bucket];
  const std::int64_t floats = plan_.shards.range(bucket, plan_.topology.position).size();
  if (floats > 0)
    device_.copy(sums_.as<float>() + at, host_->sums() + at, bytes_of(floats), *uploads_);
}

void RoundDeviceFold::bring_sums() {
  while (brought_ < plan_.buckets() && host_->summed(brought_)) bring_sum(brought_++);
}

bool RoundDeviceFold::all_handed() const {
  for (int s = 0; s < plan_.streams_of(plan_.topology.position); ++s) {
    if (streams_[s].handed < streams_[s].pushed.load(std::memory_order_relaxed)) return false;
  }
  return true;
}

void RoundDeviceFold::finish(std::int64_t step) {
  const double folded_before = host_->folding();
  const double handing = waiter_.wait({"the copies of a lane's gradient", -1, step}, [this] {
    progress();
    return all_handed();
  });
  waited_ += std::max(0.0, handing - (host_->folding() - folded_before));
  host_->finish(step);
  while (brought_ < plan_.buckets()) bring_sum(brought_++);
  uploaded_->record(*uploads_);
  waited_ +=
      waiter_.wait({"the sums' way to the device", -1, step}, [this] { return uploaded_->done(); });
  for (int s = 0; s < plan_.layout.streams; ++s) {
    Lanes& lanes = streams_[s];
    lanes.opened = lanes.handed = 0;
    lanes.pushed.store(0, std::memory_order_relaxed);
    lanes.given.store(0, std::memory_order_relaxed);
  }
  brought_ = 0;
}

void RoundDeviceFold::release(Stream& work) {
  read_->record(work);
  host_->release();
}

const FoldCounters& RoundDeviceFold::counters() const {
  counters_ = host_->counters();
  counters_.wait.exposed += waited_;
  return counters_;
}

}  // namespace lockstep::comm
