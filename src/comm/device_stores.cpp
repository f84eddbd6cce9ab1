#include "device_stores.h"

#include "lockstep/core/error.h"

namespace lockstep::comm {

Buffer upload_blocks(Device& device, const FoldLayout& layout) {
  std::vector<TreeBlock> blocks;
  for (const Range& block : layout.blocks) blocks.push_back({block.begin, block.size()});
  Buffer buffer = device.allocate(blocks.size() * sizeof(TreeBlock), "the blocks of the gradient");
  const auto stream = device.make_stream();
  device.copy(buffer.data(), blocks.data(), buffer.bytes(), *stream);
  stream->synchronize();
  return buffer;
}

DeviceStores::DeviceStores(const FoldLayout& layout, const RankStores& stores,
                           const FoldDevice& device, float* slots, std::int64_t slot_floats,
                           const TreeBlock* blocks)
    : layout_(layout),
      stores_(stores),
      blocks_(find_blocks(layout)),
      device_(device),
      device_blocks_(blocks),
      complete_streams_(std::make_unique<std::atomic<std::int64_t>[]>(layout.buckets.size())),
      taken_(layout.buckets.size()) {
  for (const RankStores::Stream& s : stores.streams) {
    Lanes& lanes = streams_.emplace_back();
    if (s.lanes.size() == 0) continue;
    lanes.leaves = device.device->allocate(static_cast<std::size_t>(slot_floats) * sizeof(float),
                                           "a lane's gradients");
    lanes.stream = device.device->make_stream();
    lanes.merged = device.device->make_event();
    lanes.marked.resize(layout.buckets.size());
    for (std::size_t b = 0; b < layout.buckets.size(); ++b) {
      lanes.marks.push_back(device.device->make_event());
      lanes.stored.push_back(device.device->make_event());
    }
    for (const Arrival& arrival : s.schedule.arrivals)
      lanes.arrivals.push_back(merged(s, arrival, lanes.leaves.as<float>(), slots, slot_floats));
  }
}

// The waiting nodes lie left of the leaf, the lowest level last, so that they are a stack. A leaf
// without a waiting sibling is its own only source, and is moved.
DeviceStores::Merged DeviceStores::merged(const RankStores::Stream& s, const Arrival& arrival,
                                          float* leaf, float* slots,
                                          std::int64_t slot_floats) const {
  const auto slot = [&](int index) { return slots + (s.first_slot + index) * slot_floats; };
  if (arrival.merges.empty()) return {{leaf}, {0}, {slot(arrival.slot)}};
  LOCKSTEP_CHECK(arrival.slot < 0 && arrival.merges[0].from < 0, "a leaf is placed and merged");
  Merged m;
  const std::size_t count = arrival.merges.size();
  for (std::size_t i = count; i-- > 0;) {
    const Merge& merge = arrival.merges[i];
    LOCKSTEP_CHECK(i == 0 || merge.from == arrival.merges[i - 1].into, "merges are no chain");
    m.sources.push_back(slot(merge.into));
  }
  m.sources.push_back(leaf);
  m.merges.assign(count, 0);
  m.merges.push_back(static_cast<std::uint8_t>(count));
  m.outs = {slot(arrival.merges.back().into)};
  return m;
}

float* DeviceStores::leaf(int stream, int bucket) const {
  return streams_[stream].leaves.as<float>() + layout_.buckets[bucket].begin;
}

void DeviceStores::open(int stream, Stream& work) {
  if (streams_[stream].merged) streams_[stream].merged->wait(work);
}

void DeviceStores::mark(int stream, int bucket, Stream& work) {
  streams_[stream].marks[bucket]->record(work);
  streams_[stream].marked[bucket] = 1;
}

void DeviceStores::push(int stream, std::int64_t lane, int bucket) {
  Lanes& lanes = streams_[stream];
  const LaneRange& mine = stores_.streams[stream].lanes;
  LOCKSTEP_CHECK(mine.begin <= lane && lane < mine.end, "lane {} was not dealt to stream {}", lane,
                 stream);
  LOCKSTEP_CHECK(lanes.marked[bucket], "bucket {} of stream {} was never marked", bucket, stream);
  const Merged& m = lanes.arrivals[lane - mine.begin];
  lanes.marks[bucket]->wait(*lanes.stream);
  const Range& range = layout_.buckets[bucket];
  const bool moved = m.sources.size() == 1;  // else the leaf is rounded where it lies
  if (layout_.leaf == LeafType::kBf16) {
    device_.arithmetic->round_to_bf16((moved ? m.outs[0] : lanes.leaves.as<float>()) + range.begin,
                                      lanes.leaves.as<float>() + range.begin, range.size(),
                                      *lanes.stream);
  } else if (moved) {
    device_.device->copy(m.outs[0] + range.begin, m.sources[0] + range.begin,
                         static_cast<std::size_t>(range.size()) * sizeof(float), *lanes.stream);
  }
  if (!moved) {
    const BucketBlocks& blocks = blocks_[bucket];
    device_.arithmetic->fold({m.sources, m.merges, m.outs}, device_blocks_ + blocks.first,
                             blocks.last - blocks.first, nullptr, *lanes.stream);
  }
  lanes.merged->record(*lanes.stream);
  if (lane + 1 < mine.end) return;
  lanes.stored[bucket]->record(*lanes.stream);
  complete_streams_[bucket].fetch_add(1, std::memory_order_acq_rel);
}

bool DeviceStores::take_complete(int bucket) {
  if (complete_streams_[bucket].load(std::memory_order_acquire) <
      stores_.busy_streams() * (taken_[bucket] + 1)) {
    return false;
  }
  for (const Lanes& lanes : streams_) {
    if (lanes.stream && !lanes.stored[bucket]->done()) return false;
  }
  ++taken_[bucket];
  return true;
}

void DeviceStores::end_step() {
  ++steps_;
  for (std::size_t b = 0; b < layout_.buckets.size(); ++b) {
    const std::int64_t complete = complete_streams_[b].load(std::memory_order_acquire);
    LOCKSTEP_CHECK(complete == stores_.busy_streams() * steps_,
                   "bucket {} was not pushed by all lanes", b);
  }
}

}  // namespace lockstep::comm
