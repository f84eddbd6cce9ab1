// Decoded windows in the node's shared memory (NUMERICS.md 16). Each rank's part opens with its
// layout, so that its peers can find and read its windows. Two slots per lane: while one is handed
// out the other is filled. Knows no HDF5.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "lockstep/comm/communicator.h"

namespace lockstep::data {

enum class SlotState : std::uint32_t { kFree, kFilling, kReady };

struct SlotHeader {
  std::int64_t epoch, lane, window, samples;
  std::atomic<SlotState> state;  // kReady is stored with release: what the slot holds is complete
};

// One window: how its rows are shuffled, and the rows in the order of the epoch.
struct Slot {
  SlotHeader* header = nullptr;
  std::uint32_t* order = nullptr;  // [window]
  std::byte* input = nullptr;      // [window, input row bytes]
  std::byte* target = nullptr;     // [window, target row bytes]
};

struct SlotLayout {
  std::size_t order_at = 0, input_at = 0, target_at = 0, bytes = 0;
};
SlotLayout slot_layout(std::int64_t window, std::size_t input_row_bytes,
                       std::size_t target_row_bytes);

class WindowStore {
 public:
  static constexpr int kSlotsPerLane = 2;
  static std::size_t bytes_for(std::int64_t lanes, const SlotLayout& layout);
  // Collective. Falls back to private memory, with a warning, where /dev/shm is too small.
  WindowStore(comm::Communicator& communicator, int lanes, const SlotLayout& layout);

  Slot slot(int lane_index, int which) const;  // of this rank
  std::size_t bytes() const { return bytes_; }
  bool shared() const { return window_ != nullptr; }

  int peers() const { return shared() ? peers_ : 1; }
  // A ready window of a rank of the node; a slot without header if that rank does not hold it. The
  // owner uses the slot again once its lane has gone on: readers must be ahead of that.
  Slot find(int local_rank, std::int64_t epoch, std::int64_t lane, std::int64_t window) const;

 private:
  struct PartHeader {
    std::int64_t slots;
  };
  Slot slot_at(std::byte* part, std::int64_t index) const;

  SlotLayout layout_;
  std::size_t bytes_ = 0;
  int peers_ = 1, local_ = 0;
  std::unique_ptr<comm::SharedWindow> window_;
  std::vector<std::byte> private_;
  std::byte* part_ = nullptr;
};

}  // namespace lockstep::data
