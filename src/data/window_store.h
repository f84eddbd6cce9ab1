// Decoded windows in the node's shared memory (NUMERICS.md 16). Each rank's part opens with how far
// its lanes are, so that its peers can wait for its windows, read them and give them back. Two
// slots per lane or more: while one is handed out the others are filled. Knows no HDF5.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "part_signal.h"

namespace lockstep::data {

// One window: how its rows are shuffled, and the rows in the order of the epoch.
struct Slot {
  std::uint32_t* order = nullptr;  // [window]
  std::byte* input = nullptr;      // [window, input row bytes]
  std::byte* target = nullptr;     // [window, target row bytes]
};

struct SlotLayout {
  std::size_t input_at = 0, target_at = 0, bytes = 0;
  int slots = 2;  // of a lane
};
SlotLayout slot_layout(std::int64_t window, std::size_t input_row_bytes,
                       std::size_t target_row_bytes, int slots = 2);

// Windows of a lane, numbered through the epochs: those before `released` may be overwritten, says
// whoever reads the lane; those in [released, decoded) are there, says the part's owner, who alone
// gives a place to a lane, or to none (-1).
struct alignas(64) LaneProgress {
  std::atomic<std::int64_t> lane;
  std::atomic<std::int64_t> released, decoded;
};

class WindowStore {
 public:
  static std::size_t bytes_for(std::int64_t lanes, const SlotLayout& layout);
  // Collective. Window `first` of each lane is the next to be decoded. A lane of -1 is a place for
  // one that comes later. Falls back to private memory, with a warning, where /dev/shm is too
  // small.
  WindowStore(comm::Communicator& communicator, const std::vector<std::int64_t>& lanes,
              std::int64_t first, const SlotLayout& layout);

  std::size_t bytes() const { return bytes_; }
  int slots() const { return layout_.slots; }
  bool shared() const { return window_ != nullptr; }
  // Parts that this rank can reach, by local rank; its own is part local().
  int parts() const { return shared() ? ranks_ : 1; }
  int local() const { return shared() ? local_ : 0; }
  int lanes(int part) const;  // places for them
  LaneProgress& progress(int part, int lane_index) const;
  Slot slot(int part, int lane_index, std::int64_t number) const;
  PartSignal& signal(int part) const;  // of its lanes' progress, and of its end

  // Gives back the lane's windows before `number` and waits until that one is there. False: it will
  // never be, for the reason that error() gives. Adds the time to `waited`.
  bool await(int part, int lane_index, std::int64_t number, double& waited) const;
  void fail(const std::string& why) const;  // of this rank's part: nothing more will be decoded
  std::string error(int part) const;

 private:
  struct PartHeader;
  std::byte* base(int part) const { return shared() ? window_->part(part) : own_; }
  PartHeader& header(int part) const;

  SlotLayout layout_;
  std::size_t bytes_ = 0;
  int ranks_ = 1, local_ = 0;
  std::unique_ptr<comm::SharedWindow> window_;
  std::vector<std::byte> private_;
  std::byte* own_ = nullptr;
};

}  // namespace lockstep::data
