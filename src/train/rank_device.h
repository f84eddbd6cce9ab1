// The device that this rank computes on, by run.device, and what is said of all ranks' devices.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "lockstep/comm/communicator.h"
#include "lockstep/device/device.h"
#include "lockstep/train/run.h"

namespace lockstep::train {

// Who needs a device: in a training run not the ranks that serve parameters.
enum class Computing : std::uint8_t { kEveryRank, kTrainingRanks };

class RankDevice {
 public:
  // Collective. Throws UserError, on all ranks, where one of them has no such device.
  RankDevice(comm::Communicator& communicator, const Run& run,
             Computing computing = Computing::kEveryRank);

  Device& get() const { return own_ ? *own_ : cpu_device(); }
  bool is_cuda() const { return own_ != nullptr; }  // this rank's
  // Whether the run computes on cuda devices; then what position 0's is, and its capability.
  bool run_is_cuda() const { return !gpu_.empty(); }
  const std::string& gpu() const { return gpu_; }
  int capability() const { return capability_; }
  // For the start report: "cuda: 4 x NVIDIA H100, sm_90; rank 0 on cuda 0, 1 on 1, 2 on 2, 3 on 3".
  const std::string& text() const { return text_; }
  // One warning, by the rank that speaks, if ranks share a device.
  void warn_of_sharing() const;

 private:
  std::unique_ptr<Device> own_;
  std::string text_, shared_, gpu_;
  int capability_ = 0;
};

}  // namespace lockstep::train
