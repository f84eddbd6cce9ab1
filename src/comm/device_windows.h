// The device memory of a node's ranks: one piece each, which its peers map at the start and read
// (and, for sums, write) from kernels. Knows nothing of what lies in it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/device/device.h"

namespace lockstep::comm {

class DeviceWindows {
 public:
  DeviceWindows(Device& device, std::size_t bytes);
  // Collective over all ranks; `topology` says who shares a node. Maps the peers' windows, and
  // reads a token from each. Why not, on this rank; "": all is mapped.
  std::string open_peers(Communicator& communicator, const Topology& topology);
  void close_peers() { peers_.clear(); }

  Device& device() const { return device_; }
  // By local rank.
  const std::vector<std::byte*>& parts() const { return parts_; }

 private:
  std::string open(const std::vector<std::byte>& handles, const Topology& topology);

  Device& device_;
  Buffer mine_;
  std::vector<std::unique_ptr<PeerMemory>> peers_;
  std::vector<std::byte*> parts_;
};

}  // namespace lockstep::comm
