// For the stand-ins of other libraries (cuBLASLt, cuDNN): gives work of the host's to a stream of
// the stand-in libcudart as if it were a kernel. Work may run late, in a capture it becomes a node
// of the graph and runs at each launch; only while it runs is device memory accessible.
#pragma once
#include <driver_types.h>

#include <utility>

// Queues run(data) and calls release(data) once nothing can run it any more. name: for messages
// about faults. Nothing is taken over if the answer is an error. An exception out of run is a
// kernel failure.
extern "C" cudaError_t lockstep_emulation_enqueue(cudaStream_t stream, const char* name,
                                                  void (*run)(void* data), void* data,
                                                  void (*release)(void* data));

namespace lockstep::emulation {

// Copies `work`, a callable without arguments; it may run several times (graphs).
template <class Work>
cudaError_t enqueue(cudaStream_t stream, const char* name, Work work) {
  auto* kept = new Work(std::move(work));  // released by the queue
  const cudaError_t error = lockstep_emulation_enqueue(
      stream, name, [](void* data) { (*static_cast<Work*>(data))(); }, kept,
      [](void* data) { delete static_cast<Work*>(data); });
  if (error != cudaSuccess) delete kept;
  return error;
}

}  // namespace lockstep::emulation
