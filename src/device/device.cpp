// What devices have in common.
#include "lockstep/device/device.h"

#include "lockstep/core/error.h"

namespace lockstep {

Buffer::~Buffer() {
  if (device_ != nullptr) device_->release(data_, bytes_, on_host_);
}

void Stream::begin_capture() { LOCKSTEP_CHECK(false, "this device does not capture"); }
std::unique_ptr<Graph> Stream::end_capture() { LOCKSTEP_CHECK(false, "this device does not capture"); }
void Stream::launch(Graph&) { LOCKSTEP_CHECK(false, "this device does not capture"); }

std::unique_ptr<PeerMemory> Device::open_peer(std::span<const std::byte>, std::string& refusal) {
  refusal = "this device's memory has no peers";
  return nullptr;
}

}  // namespace lockstep
