// Lanes in rounds on a device whose streams run late: leaves go down to the rank's window as soon
// as they are written, rounded if they are to be, the host adds, and the sums of this rank's shard
// go up again. A stream keeps two buckets on the device. Knows of the host's fold only what it does
// with leaves.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "lockstep/device/pinned_pages.h"
#include "round_fold.h"

namespace lockstep::comm {

class RoundDeviceFold final : public Fold {
 public:
  // host: one that does not round.
  RoundDeviceFold(Waiter& waiter, const FoldDevice& device, std::unique_ptr<RoundFold> host);
  ~RoundDeviceFold() override;

  std::int64_t next(int stream) override { return host_->next(stream); }
  std::vector<LaneRange> home(int stream) const override { return host_->home(stream); }
  // Of the two places the one whose copy has been given: what open()'s stream is given from now on
  // waits for the copy, and this thread for the host to have room for it.
  float* leaf(int stream, std::int64_t lane, int bucket) override;
  void open(int stream, Stream& work) override { streams_[stream].work = &work; }
  void mark(int stream, int bucket, Stream& work) override;
  void push(int stream, std::int64_t lane, int bucket) override;
  void progress() override;
  void set_record(std::int64_t lane, const void* record) override {
    host_->set_record(lane, record);
  }
  void finish(std::int64_t step) override;
  const void* record(std::int64_t lane) const override { return host_->record(lane); }
  const float* sum(int block) const override {
    return sums_.as<float>() + (host_->sum(block) - host_->sums());
  }
  double block_value(int block) const override { return host_->block_value(block); }
  void release() override { host_->release(); }
  // The host's sums are on the device by then.
  void release(Stream& work) override;

  const FoldCounters& counters() const override;
  std::string path() const override;
  std::size_t window_bytes() const override { return host_->window_bytes(); }
  std::size_t private_bytes() const override { return host_->private_bytes(); }
  std::size_t device_bytes() const override;
  static std::size_t device_bytes(const RoundPlan& plan);

 private:
  static constexpr int kPlaces = 2;
  struct Place {
    std::unique_ptr<Event> written, copied;
  };
  // Ticks of this step, in order. One thread opens and pushes; copies are given, and handed to the
  // host's fold, by whoever holds `giving`.
  struct Lanes {
    Buffer leaves;
    std::unique_ptr<Stream> copies;
    std::array<Place, kPlaces> places;
    Stream* work = nullptr;
    int opened = 0;
    std::atomic<int> pushed{0}, given{0};
    int handed = 0;
    std::mutex giving;
  };
  int tick_of(std::int64_t lane, int bucket) const {
    return plan_.round_of_lane(lane) * plan_.buckets() + bucket;
  }
  std::int64_t lane_of(int stream, int tick) const;
  float* place(int stream, int tick) const;
  void move(int stream);
  void move_all();
  bool all_handed() const;
  void bring_sums();
  void bring_sum(int bucket);

  Waiter& waiter_;
  Device& device_;
  TreeArithmetic& arithmetic_;
  const std::unique_ptr<RoundFold> host_;
  const RoundPlan& plan_;
  const PinnedPages leaves_, store_;
  const std::thread::id own_thread_ = std::this_thread::get_id();
  std::unique_ptr<Lanes[]> streams_;
  Buffer sums_;  // of this rank's shard, as in the host's store
  std::unique_ptr<Stream> uploads_;
  std::unique_ptr<Event> uploaded_, read_;
  int brought_ = 0;  // buckets of this step whose sums are on their way up
  double waited_ = 0;
  mutable FoldCounters counters_;
};

}  // namespace lockstep::comm
