#include "device_windows.h"

#include <array>
#include <cstring>
#include <span>

namespace lockstep::comm {
namespace {

constexpr std::size_t kHandleBytes = 120;
struct Handle {  // of one rank's window
  std::uint8_t used = 0;
  std::array<std::byte, kHandleBytes> bytes{};
  std::int64_t token = 0;  // what its first bytes hold
};

std::int64_t token_of(int position) { return 0x10c57e9 + position; }

void write(Device& device, void* to, std::int64_t value) {
  const auto stream = device.make_stream();
  device.copy(to, &value, sizeof value, *stream);
  stream->synchronize();
}

std::int64_t read(Device& device, const void* from) {
  std::int64_t value = 0;
  const auto stream = device.make_stream();
  device.copy(&value, from, sizeof value, *stream);
  stream->synchronize();
  return value;
}

}  // namespace

DeviceWindows::DeviceWindows(Device& device, std::size_t bytes)
    : device_(device),
      mine_(device.allocate(bytes, "partial sums of the gradients")),
      parts_{static_cast<std::byte*>(mine_.data())} {}

std::string DeviceWindows::open_peers(Communicator& communicator, const Topology& topology) {
  const int locals = topology.local_ranks();
  Handle mine;
  std::string refusal;
  if (locals > 1) {
    mine.token = token_of(topology.position);
    write(device_, mine_.data(), mine.token);
    const auto exported = device_.export_memory(mine_.data());
    if (exported.size() <= kHandleBytes) {
      mine.used = static_cast<std::uint8_t>(exported.size());
      std::copy(exported.begin(), exported.end(), mine.bytes.begin());
    }
  }
  const auto all = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  if (locals > 1) refusal = open(all, topology);
  communicator.barrier();  // all tokens are read
  if (locals > 1) write(device_, mine_.data(), 0);
  return refusal;
}

std::string DeviceWindows::open(const std::vector<std::byte>& handles, const Topology& topology) {
  std::vector<std::byte*> parts;
  const int first = topology.node_begin[topology.node()];
  for (int position = first; position < first + topology.local_ranks(); ++position) {
    Handle handle;
    std::memcpy(&handle, handles.data() + position * sizeof handle, sizeof handle);
    if (handle.used == 0) return "a device does not export its memory";
    if (position == topology.position) {
      parts.push_back(static_cast<std::byte*>(mine_.data()));
      continue;
    }
    std::string refusal;
    auto peer = device_.open_peer(std::span(handle.bytes).first(handle.used), refusal);
    if (!peer) return refusal;
    if (read(device_, peer->data()) != handle.token) return "a peer's memory is not what it wrote";
    parts.push_back(static_cast<std::byte*>(peer->data()));
    peers_.push_back(std::move(peer));
  }
  parts_ = std::move(parts);
  return "";
}

}  // namespace lockstep::comm
