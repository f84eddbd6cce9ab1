// CUDA devices: which one a rank takes. In a build without CUDA these calls say so.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lockstep/device/device.h"

namespace lockstep {

struct CudaChoice {
  // "cuda": the only visible device, or the one of this rank's number on its node; "cuda:1": by
  // number; "cuda:GPU-..." and "cuda:MIG-...": by UUID.
  std::string_view device = "cuda";
  int local_rank = 0, local_ranks = 1;  // of the ranks on this node
  std::string who;                      // named in errors of this device: "rank 3 on node7"
};

// Throws UserError, with what to try, if there is no driver, no such device, or no CUDA in this
// build. The calling thread works on the device from now on.
std::unique_ptr<Device> make_cuda_device(const CudaChoice& choice);

// What a checkpoint's environment and the ranks compare: "NVIDIA H100 80GB HBM3, sm_90, driver
// 580.1, runtime 13.0"; of a device made above.
std::string cuda_description(const Device& device);
// Its compute capability: 90 for sm_90.
int cuda_capability(const Device& device);
std::uint64_t cuda_memory(const Device& device);  // bytes that it has
// Names the physical device (its UUID), so that ranks can see whether they share one.
std::string cuda_identity(const Device& device);

// What this process sees, without taking any of it.
struct CudaSummary {
  int devices = 0;
  int pairs_without_peers = 0;  // of which neither may read the other's memory
  std::string names;            // "2 x NVIDIA H100 80GB HBM3"
  std::string problem;          // why there are none
};
CudaSummary summarise_cuda_devices();

}  // namespace lockstep
