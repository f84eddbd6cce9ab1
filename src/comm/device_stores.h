// The node stores of one rank's streams on a device: leaves at fixed addresses, and the merges that
// follow a mark, given to a stream of their own. Knows neither peers nor messages.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "fold_plan.h"
#include "lockstep/device/tree_arithmetic.h"

namespace lockstep::comm {

// All of FoldLayout::blocks, on the device.
Buffer upload_blocks(Device& device, const FoldLayout& layout);

class DeviceStores {
 public:
  // slots: on the device, slot i from i * slot_floats, element e of the flat buffer at [e].
  // blocks: of upload_blocks().
  DeviceStores(const FoldLayout& layout, const RankStores& stores, const FoldDevice& device,
               float* slots, std::int64_t slot_floats, const TreeBlock* blocks);

  LaneRange lanes(int stream) const { return stores_.streams[stream].lanes; }
  float* leaf(int stream, int bucket) const;
  void open(int stream, Stream& work);
  void mark(int stream, int bucket, Stream& work);
  void push(int stream, std::int64_t lane, int bucket);
  void end_step();  // every bucket must have been pushed by all lanes
  // All lanes are pushed and merged on the device: true once a step. Never waits.
  bool take_complete(int bucket);

 private:
  struct Merged {  // an arrival whose sibling waits: one tree over the waiting nodes and the leaf
    std::vector<const float*> sources;
    std::vector<std::uint8_t> merges;
    std::vector<float*> outs;
  };
  struct Lanes {  // of one stream
    Buffer leaves;
    std::unique_ptr<Stream> stream;
    std::unique_ptr<Event> merged;               // all pushes so far
    std::vector<std::unique_ptr<Event>> marks;   // by bucket: the leaf is written
    std::vector<std::unique_ptr<Event>> stored;  // by bucket: the last lane is merged
    std::vector<char> marked;
    std::vector<Merged> arrivals;  // by lane
  };
  Merged merged(const RankStores::Stream& s, const Arrival& arrival, float* leaf, float* slots,
                std::int64_t slot_floats) const;

  const FoldLayout& layout_;
  const RankStores& stores_;
  const std::vector<BucketBlocks> blocks_;
  const FoldDevice device_;
  const TreeBlock* const device_blocks_;
  std::vector<Lanes> streams_;
  std::unique_ptr<std::atomic<std::int64_t>[]> complete_streams_;  // by bucket, over all steps
  std::vector<std::int64_t> taken_;                                // by bucket, over all steps
  std::int64_t steps_ = 0;
};

}  // namespace lockstep::comm
