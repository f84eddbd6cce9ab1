#include "window_store.h"

#include <cstring>
#include <memory>
#include <new>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "lockstep/core/log.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kLine = 64;  // bytes of a cache line
std::size_t to_line(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

}  // namespace

struct alignas(kLine) WindowStore::PartHeader {
  std::int64_t lanes;
  PartSignal signal;
  std::atomic<bool> failed;
  char error[1000];
};

SlotLayout slot_layout(std::int64_t window, std::size_t input_row_bytes,
                       std::size_t target_row_bytes, int slots) {
  const auto rows = static_cast<std::size_t>(window);
  SlotLayout layout;
  layout.slots = slots;
  layout.input_at = to_line(rows * sizeof(std::uint32_t));
  layout.target_at = to_line(layout.input_at + rows * input_row_bytes);
  layout.bytes = to_line(layout.target_at + rows * target_row_bytes);
  return layout;
}

std::size_t WindowStore::bytes_for(std::int64_t lanes, const SlotLayout& layout) {
  return sizeof(PartHeader) +
         static_cast<std::size_t>(lanes) *
             (sizeof(LaneProgress) + static_cast<std::size_t>(layout.slots) * layout.bytes);
}

WindowStore::WindowStore(comm::Communicator& communicator, const std::vector<std::int64_t>& lanes,
                         std::int64_t first, const SlotLayout& layout)
    : layout_(layout),
      bytes_(bytes_for(static_cast<std::int64_t>(lanes.size()), layout)),
      ranks_(communicator.topology().local_ranks()),
      local_(communicator.topology().local()) {
  try {
    window_ = communicator.make_window(bytes_, "decoded windows of the data");
    own_ = window_->part(local_);
  } catch (const UserError& error) {
    log::warn("{}; the windows are kept in private memory, so that lanes cannot move between ranks",
              error.what());
    private_.resize(bytes_ + kLine);
    void* start = private_.data();
    std::size_t room = private_.size();
    own_ = static_cast<std::byte*>(std::align(kLine, bytes_, start, room));
  }
  new (own_) PartHeader{static_cast<std::int64_t>(lanes.size()), {}, false, {}};
  std::byte* at = own_ + sizeof(PartHeader);
  for (const std::int64_t lane : lanes) {
    new (at) LaneProgress{lane, first, first};
    at += sizeof(LaneProgress);
  }
  communicator.barrier();  // peers may look from here on
}

WindowStore::PartHeader& WindowStore::header(int part) const {
  return *std::launder(reinterpret_cast<PartHeader*>(base(part)));
}

int WindowStore::lanes(int part) const { return static_cast<int>(header(part).lanes); }
PartSignal& WindowStore::signal(int part) const { return header(part).signal; }

LaneProgress& WindowStore::progress(int part, int lane_index) const {
  std::byte* const at = base(part) + sizeof(PartHeader);
  return *std::launder(reinterpret_cast<LaneProgress*>(at + lane_index * sizeof(LaneProgress)));
}

Slot WindowStore::slot(int part, int lane_index, std::int64_t number) const {
  const std::int64_t slots = std::int64_t{lane_index} * layout_.slots + number % layout_.slots;
  std::byte* const at = base(part) + sizeof(PartHeader) + lanes(part) * sizeof(LaneProgress) +
                        static_cast<std::size_t>(slots) * layout_.bytes;
  return {reinterpret_cast<std::uint32_t*>(at), at + layout_.input_at, at + layout_.target_at};
}

bool WindowStore::await(int part, int lane_index, std::int64_t number, double& waited) const {
  LaneProgress& lane = progress(part, lane_index);
  const std::int64_t released = lane.released.load(std::memory_order_relaxed);
  LOCKSTEP_CHECK(number >= released, "lane {} goes back from window {} to {}",
                 lane.lane.load(), released, number);
  const PartHeader& owner = header(part);
  if (number > released) {
    lane.released.store(number, std::memory_order_release);
    signal(part).raise();
  }
  const auto here = [&] { return lane.decoded.load(std::memory_order_acquire) > number; };
  if (here()) return true;
  const ScopedTimer timer(waited);
  const events::Span span(events::Kind::kWait, "the data's reader",
                          {.number = static_cast<std::int32_t>(lane.lane)});
  while (true) {
    const std::uint32_t seen = owner.signal.seen();
    const bool failed = owner.failed.load(std::memory_order_acquire);
    if (here()) return true;
    if (failed) return false;
    owner.signal.wait(seen);
  }
}

void WindowStore::fail(const std::string& why) const {
  PartHeader& mine = header(local());
  std::strncpy(mine.error, why.c_str(), sizeof mine.error - 1);
  mine.failed.store(true, std::memory_order_release);
  mine.signal.raise();
}

std::string WindowStore::error(int part) const { return header(part).error; }

}  // namespace lockstep::data
