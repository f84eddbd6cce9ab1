// What all launchers share. A launcher gives its kernels to a stream and returns; it chooses grids
// and the order of every sum from shapes alone, never from the number of multiprocessors, so that
// the bits are the same on every device of a kind. Pointers are device memory, aligned to 16 bytes
// where a kernel says that it reads 16 at a time.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>

namespace lockstep::kernels {

// After each launch: throws Error naming the kernel, the rank and the device.
void check_launch(const char* kernel);
// A wrong argument is a bug of the caller. (nvcc does not compile fmt's checks of LOCKSTEP_CHECK.)
void require_argument(bool right, const char* what);
// Before the first launch of a kernel with more than 48 KiB of dynamic shared memory.
void allow_shared_memory(const void* kernel, std::size_t bytes, const char* name);
// Compute capability of the device that the calling thread has entered: 90 for sm_90.
int capability();
// Throws UserError: "kernel NAME needs sm_80 or newer; this device is sm_75".
void require_capability(int least, const char* kernel);

// Blocks of `size` that hold n things.
constexpr std::int64_t blocks_for(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }

}  // namespace lockstep::kernels
