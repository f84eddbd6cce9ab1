#include "worker_rows.h"

#include "lockstep/core/error.h"

namespace lockstep::comm {
namespace {

std::size_t bytes_of(std::int64_t floats) {
  return static_cast<std::size_t>(floats) * sizeof(float);
}

}  // namespace

HostRows::HostRows(const FoldLayout& layout, const RankStores& stores,
                   const FoldArithmetic& arithmetic)
    : buckets_(static_cast<int>(layout.buckets.size())),
      slots_(bytes_of(stores.slots * layout.flat_elements)),
      stores_(layout, stores, reinterpret_cast<float*>(slots_.data()), layout.flat_elements,
              arithmetic),
      complete_(std::make_unique<std::atomic<bool>[]>(layout.buckets.size())) {
  for (const auto& [node, slot] : stores.remaining) rows_.push_back(stores_.slot(slot));
}

void HostRows::push(int stream, std::int64_t lane, int bucket) {
  if (stores_.push(stream, lane, bucket)) complete_[bucket].store(true, std::memory_order_release);
}

void HostRows::begin_step() {
  for (int b = 0; b < buckets_; ++b) complete_[b].store(false, std::memory_order_relaxed);
}

DeviceRows::DeviceRows(const FoldLayout& layout, const RankStores& stores, const FoldDevice& device)
    : layout_(layout),
      plan_(stores),
      device_(*device.device),
      slot_floats_(layout.flat_elements),
      blocks_(upload_blocks(device_, layout)),
      slots_(
          device_.allocate(bytes_of(stores.slots * slot_floats_), "partial sums of the gradients")),
      on_host_(device_.allocate_on_host(
          bytes_of(static_cast<std::int64_t>(stores.remaining.size()) * slot_floats_),
          "partial sums on their way to the servers")),
      download_(device_.make_stream()) {
  stores_.emplace(layout, stores, device, slots_.as<float>(), slot_floats_,
                  blocks_.as<TreeBlock>());
  for (std::size_t i = 0; i < stores.remaining.size(); ++i)
    rows_.push_back(on_host_.as<float>() + static_cast<std::int64_t>(i) * slot_floats_);
  for (std::size_t b = 0; b < layout.buckets.size(); ++b) brought_.push_back(device_.make_event());
}

// What still runs reads and writes what is about to go.
DeviceRows::~DeviceRows() {
  try {
    download_->synchronize();
  } catch (const Error&) {
  }
}

std::size_t DeviceRows::device_bytes() const {
  return slots_.bytes() + blocks_.bytes() + bytes_of(plan_.busy_streams() * slot_floats_);
}

void DeviceRows::bring(int bucket) {
  const Range& range = layout_.buckets[bucket];
  for (int i = 0; i < rows(); ++i) {
    const float* const from = slots_.as<float>() + plan_.remaining[i].second * slot_floats_;
    device_.copy(row(i) + range.begin, from + range.begin, bytes_of(range.size()), *download_);
  }
  brought_[bucket]->record(*download_);
}

bool DeviceRows::here(int bucket) {
  while (given_ < static_cast<int>(brought_.size()) && stores_->take_complete(given_))
    bring(given_++);
  return bucket < given_ && brought_[bucket]->done();
}

}  // namespace lockstep::comm
