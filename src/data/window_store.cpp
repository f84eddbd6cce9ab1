#include "window_store.h"

#include <memory>
#include <new>

#include "lockstep/core/error.h"
#include "lockstep/core/log.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kLine = 64;  // bytes of a cache line
std::size_t to_line(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

}  // namespace

SlotLayout slot_layout(std::int64_t window, std::size_t input_row_bytes,
                       std::size_t target_row_bytes) {
  const auto rows = static_cast<std::size_t>(window);
  SlotLayout layout;
  layout.order_at = to_line(sizeof(SlotHeader));
  layout.input_at = to_line(layout.order_at + rows * sizeof(std::uint32_t));
  layout.target_at = to_line(layout.input_at + rows * input_row_bytes);
  layout.bytes = to_line(layout.target_at + rows * target_row_bytes);
  return layout;
}

std::size_t WindowStore::bytes_for(std::int64_t lanes, const SlotLayout& layout) {
  return kLine + static_cast<std::size_t>(lanes * kSlotsPerLane) * layout.bytes;
}

WindowStore::WindowStore(comm::Communicator& communicator, int lanes, const SlotLayout& layout)
    : layout_(layout),
      peers_(communicator.topology().local_ranks()),
      local_(communicator.topology().local()) {
  const int slots = lanes * kSlotsPerLane;
  bytes_ = bytes_for(lanes, layout);
  try {
    window_ = communicator.make_window(bytes_, "decoded windows of the data");
    part_ = window_->part(local_);
  } catch (const UserError& error) {
    log::warn("{}; the windows are kept in private memory, so that lanes cannot move between ranks",
              error.what());
    private_.resize(bytes_ + kLine);
    void* start = private_.data();
    std::size_t room = private_.size();
    part_ = static_cast<std::byte*>(std::align(kLine, bytes_, start, room));
  }
  new (part_) PartHeader{slots};
  for (int i = 0; i < slots; ++i) {
    std::byte* at = part_ + kLine + static_cast<std::size_t>(i) * layout_.bytes;
    new (at) SlotHeader{-1, -1, -1, 0, SlotState::kFree};
  }
  communicator.barrier();  // peers may look from here on
}

Slot WindowStore::slot_at(std::byte* part, std::int64_t index) const {
  std::byte* at = part + kLine + static_cast<std::size_t>(index) * layout_.bytes;
  return {std::launder(reinterpret_cast<SlotHeader*>(at)),
          reinterpret_cast<std::uint32_t*>(at + layout_.order_at), at + layout_.input_at,
          at + layout_.target_at};
}

Slot WindowStore::slot(int lane_index, int which) const {
  return slot_at(part_, std::int64_t{lane_index} * kSlotsPerLane + which);
}

Slot WindowStore::find(int local_rank, std::int64_t epoch, std::int64_t lane,
                       std::int64_t window) const {
  std::byte* part = shared() ? window_->part(local_rank) : part_;
  const std::int64_t slots = std::launder(reinterpret_cast<PartHeader*>(part))->slots;
  for (std::int64_t i = 0; i < slots; ++i) {
    const Slot slot = slot_at(part, i);
    const SlotHeader& h = *slot.header;
    if (h.state.load(std::memory_order_acquire) == SlotState::kReady && h.epoch == epoch &&
        h.lane == lane && h.window == window)
      return slot;
  }
  return {};
}

}  // namespace lockstep::data
