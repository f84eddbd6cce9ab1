// The device that this rank computes on, by run.device, and what is said of all ranks' devices.
#pragma once
#include <memory>
#include <string>

#include "lockstep/comm/communicator.h"
#include "lockstep/device/device.h"
#include "lockstep/train/run.h"

namespace lockstep::train {

class RankDevice {
 public:
  // Collective. Throws UserError, on all ranks, where one of them has no such device.
  RankDevice(comm::Communicator& communicator, const Run& run);

  Device& get() const { return own_ ? *own_ : cpu_device(); }
  bool is_cuda() const { return own_ != nullptr; }
  // For the start report: "cuda: 4 x NVIDIA H100, sm_90; rank 0 on cuda 0, 1 on 1, 2 on 2, 3 on 3".
  const std::string& text() const { return text_; }
  // One warning, by the rank that speaks, if ranks share a device.
  void warn_of_sharing() const;

 private:
  std::unique_ptr<Device> own_;
  std::string text_, shared_;
};

}  // namespace lockstep::train
