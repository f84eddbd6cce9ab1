// The devices that the process sees, and what they can do.
#pragma once
#include <driver_types.h>

#include <cstddef>
#include <vector>

namespace lockstep::emulation {

struct Visible {
  int physical = 0;   // as counted without CUDA_VISIBLE_DEVICES
  int instance = -1;  // of MIG; -1: the whole device
};
const std::vector<Visible>& visible_devices();
// "Lockstep", then the instance counted from 1 (0: none) and the number of the device.
cudaUUID_t uuid_of(const Visible& device);

int device_count();    // after CUDA_VISIBLE_DEVICES
int current_device();  // of the calling thread
cudaError_t set_device(int device);
int physical_device(int device);
bool valid_device(int device);
bool peers(int device, int other);

// Limits of the capability that is played.
struct Limits {
  int multiprocessors = 0;
  int threads_per_multiprocessor = 0;
  int blocks_per_multiprocessor = 0;
  std::size_t shared_per_multiprocessor = 0;
  std::size_t shared_per_block = 0;  // the most, after cudaFuncSetAttribute
  int registers = 65536;             // of a block and of a multiprocessor
};
Limits limits();
constexpr std::size_t kSharedByDefault = 48 << 10;
constexpr int kThreadsPerBlock = 1024;

}  // namespace lockstep::emulation
