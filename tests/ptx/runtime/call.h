// The frame of every call of the API: one lock over all state, a spoiled process answers with its
// failure, what is not allowed during a capture is refused, and the answer is remembered.
#pragma once
#include <driver_types.h>

#include <exception>
#include <mutex>
#include <new>

#include "tests/ptx/runtime/error.h"

#define LOCKSTEP_API extern "C" __attribute__((visibility("default")))

namespace lockstep::emulation {

using Lock = std::unique_lock<std::mutex>;

// Guards everything of the stand-in but what a device's work itself does.
std::mutex& state_mutex();

// Whether this thread is inside a host function of a stream, where CUDA may not be called.
bool in_host_function();

// kUnsafe: the call might wait for a device, which a thread that captures may not (its capture is
// spoiled); kSafe: always allowed.
enum class Capturing { kSafe, kUnsafe };
cudaError_t refuse_in_capture();  // of this thread; cudaSuccess: it captures nothing

void start_up();  // once; makes faults readable

// body: cudaError_t(Lock&).
template <class Body>
cudaError_t call(Capturing rule, Body&& body) {
  if (in_host_function()) return remember(cudaErrorNotPermitted);
  start_up();
  if (const cudaError_t error = failure(); error != cudaSuccess) return error;
  Lock lock(state_mutex());
  if (rule == Capturing::kUnsafe)
    if (const cudaError_t error = refuse_in_capture(); error != cudaSuccess) return remember(error);
  try {
    return remember(body(lock));
  } catch (const std::bad_alloc&) {
    return remember(cudaErrorMemoryAllocation);
  }
}

}  // namespace lockstep::emulation
