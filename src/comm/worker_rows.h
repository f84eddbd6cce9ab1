// A worker's lanes of a parameter server, merged to the canonical nodes that its messages carry: on
// the host where they lie, or on a device, from which each bucket goes to pinned memory as soon as
// it is merged. Knows neither servers nor messages.
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "device_stores.h"
#include "lane_stores.h"
#include "lockstep/comm/fold.h"

namespace lockstep::comm {

class WorkerRows {
 public:
  virtual ~WorkerRows() = default;
  virtual float* leaf(int stream, std::int64_t lane, int bucket) = 0;
  virtual void open(int /*stream*/, Stream& /*work*/) {}
  virtual void mark(int /*stream*/, int /*bucket*/, Stream& /*work*/) {}
  virtual void push(int stream, std::int64_t lane, int bucket) = 0;
  // All rows of the bucket are complete in the host's memory. Never waits; for one thread, buckets
  // in order.
  virtual bool here(int bucket) = 0;
  virtual void end_step() = 0;    // all lanes are pushed
  virtual void begin_step() = 0;  // rows may be overwritten

  // Canonical node i, element e of the flat buffer at [e]; in lane order.
  float* row(int i) const { return rows_[i]; }
  int rows() const { return static_cast<int>(rows_.size()); }
  virtual double seconds() const = 0;  // adding
  virtual std::size_t host_bytes() const = 0;
  virtual std::size_t device_bytes() const { return 0; }

 protected:
  std::vector<float*> rows_;
};

class HostRows final : public WorkerRows {
 public:
  HostRows(const FoldLayout& layout, const RankStores& stores, const FoldArithmetic& arithmetic);
  float* leaf(int stream, std::int64_t lane, int bucket) override {
    return stores_.leaf(stream, lane, bucket);
  }
  void push(int stream, std::int64_t lane, int bucket) override;
  bool here(int bucket) override { return complete_[bucket].load(std::memory_order_acquire); }
  void end_step() override { stores_.end_step(); }
  void begin_step() override;
  double seconds() const override { return stores_.seconds(); }
  std::size_t host_bytes() const override { return slots_.bytes(); }

 private:
  const int buckets_;
  Pages slots_;
  LaneStores stores_;
  std::unique_ptr<std::atomic<bool>[]> complete_;
};

class DeviceRows final : public WorkerRows {
 public:
  DeviceRows(const FoldLayout& layout, const RankStores& stores, const FoldDevice& device);
  ~DeviceRows() override;
  float* leaf(int stream, std::int64_t, int bucket) override {
    return stores_->leaf(stream, bucket);
  }
  void open(int stream, Stream& work) override { stores_->open(stream, work); }
  void mark(int stream, int bucket, Stream& work) override { stores_->mark(stream, bucket, work); }
  void push(int stream, std::int64_t lane, int bucket) override {
    stores_->push(stream, lane, bucket);
  }
  bool here(int bucket) override;
  void end_step() override { stores_->end_step(); }
  void begin_step() override { given_ = 0; }
  double seconds() const override { return 0; }
  std::size_t host_bytes() const override { return on_host_.bytes(); }
  std::size_t device_bytes() const override;

 private:
  void bring(int bucket);

  const FoldLayout& layout_;
  const RankStores& plan_;
  Device& device_;
  const std::int64_t slot_floats_;
  Buffer blocks_, slots_, on_host_;
  std::optional<DeviceStores> stores_;
  std::unique_ptr<Stream> download_;
  std::vector<std::unique_ptr<Event>> brought_;  // by bucket
  int given_ = 0;                                // buckets of this step on their way down
};

}  // namespace lockstep::comm
