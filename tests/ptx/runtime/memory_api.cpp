// Memory of devices and of the host for them, got and given back.
#include <cuda_runtime_api.h>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/device.h"
#include "tests/ptx/runtime/memory.h"
#include "tests/ptx/runtime/stream.h"

using namespace lockstep::emulation;
using Kind = Allocation::Kind;

namespace {

cudaError_t get(void** data, std::size_t bytes, Kind kind, unsigned flags = 0) {
  return call(Capturing::kUnsafe, [&](Lock&) {
    if (device_count() == 0) return cudaErrorNoDevice;
    if (data == nullptr) return cudaErrorInvalidValue;
    *data = bytes == 0 ? nullptr : allocate(bytes, kind, current_device(), flags);
    return cudaSuccess;
  });
}

// Waits for the device, as the real calls do.
cudaError_t give_back(void* data, Kind kind, Kind or_kind) {
  return call(Capturing::kUnsafe, [&](Lock& lock) {
    if (data == nullptr) return cudaSuccess;
    const Allocation* allocation = find_allocation(data);
    if (allocation == nullptr) return cudaErrorInvalidValue;
    finish_device(lock, allocation->device);
    if (failure() != cudaSuccess) return failure();
    return release(data, kind, or_kind);
  });
}

}  // namespace

LOCKSTEP_API cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  return get(data, bytes, Kind::kDevice);
}
LOCKSTEP_API cudaError_t cudaMallocManaged(void** data, std::size_t bytes, unsigned) {
  return get(data, bytes, Kind::kManaged);
}
LOCKSTEP_API cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
  return get(data, bytes, Kind::kPinned);
}
LOCKSTEP_API cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned flags) {
  return get(data, bytes, Kind::kPinned, flags);
}
LOCKSTEP_API cudaError_t cudaFree(void* data) {
  return give_back(data, Kind::kDevice, Kind::kManaged);
}
LOCKSTEP_API cudaError_t cudaFreeHost(void* data) {
  return give_back(data, Kind::kPinned, Kind::kPinned);
}

// Without a pool: the memory is there at once, and gone when the stream comes to it.
LOCKSTEP_API cudaError_t cudaMallocAsync(void** data, std::size_t bytes, cudaStream_t) {
  return cudaMalloc(data, bytes);
}
LOCKSTEP_API cudaError_t cudaFreeAsync(void* data, cudaStream_t handle) {
  return call(Capturing::kUnsafe, [&](Lock& lock) {
    Stream* stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    const Allocation* allocation = find_allocation(data);
    if (allocation == nullptr || allocation->kind != Kind::kDevice) return cudaErrorInvalidValue;
    auto task = std::make_shared<Task>();
    task->at_end = [data] { release(data, Kind::kDevice, Kind::kDevice); };
    give_task(*stream, std::move(task));
    settle(lock);
    return cudaSuccess;
  });
}

LOCKSTEP_API cudaError_t cudaHostRegister(void* data, std::size_t bytes, unsigned flags) {
  return call(Capturing::kUnsafe, [&](Lock&) {
    if (data == nullptr || bytes == 0) return cudaErrorInvalidValue;
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    const Allocation* last = allocation_below(static_cast<char*>(data) + bytes - 1);
    if (last != nullptr && last->address + last->bytes > begin)
      return cudaErrorHostMemoryAlreadyRegistered;
    register_host(data, bytes, flags);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaHostUnregister(void* data) {
  return call(Capturing::kUnsafe, [&](Lock& lock) {
    const Allocation* allocation = find_allocation(data);
    if (allocation == nullptr || allocation->kind != Kind::kRegistered)
      return cudaErrorHostMemoryNotRegistered;
    finish_device(lock, current_device());
    return release(data, Kind::kRegistered, Kind::kRegistered);
  });
}
LOCKSTEP_API cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  return call(Capturing::kSafe, [&](Lock&) {
    const Allocation* allocation = find_allocation(host);
    if (allocation == nullptr || allocation->on_device()) return cudaErrorInvalidValue;
    *device = host;
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaHostGetFlags(unsigned* flags, void* host) {
  return call(Capturing::kSafe, [&](Lock&) {
    const Allocation* allocation = find_allocation(host);
    if (allocation == nullptr || allocation->on_device()) return cudaErrorInvalidValue;
    *flags = allocation->flags | cudaHostAllocMapped;
    return cudaSuccess;
  });
}

LOCKSTEP_API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes,
                                                  const void* data) {
  return call(Capturing::kSafe, [&](Lock&) {
    *attributes = {};
    attributes->device = current_device();
    const Allocation* allocation = find_allocation(data);
    void* pointer = const_cast<void*>(data);
    if (allocation == nullptr) {
      // Unregistered, or a variable of the kernels.
      const bool on_device = place_of(data, 1) == Place::kDevice;
      attributes->type = on_device ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
      attributes->device = on_device ? current_device() : -2;
      (on_device ? attributes->devicePointer : attributes->hostPointer) = pointer;
      return cudaSuccess;
    }
    attributes->device = allocation->device;
    attributes->devicePointer = pointer;
    if (!allocation->on_device()) attributes->hostPointer = pointer;
    attributes->type = allocation->on_device()              ? cudaMemoryTypeDevice
                       : allocation->kind == Kind::kManaged ? cudaMemoryTypeManaged
                                                            : cudaMemoryTypeHost;
    return cudaSuccess;
  });
}
