// Memory and events shared between devices and between processes of one machine.
#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <new>
#include <set>
#include <utility>
#include <vector>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/device.h"
#include "tests/ptx/runtime/event_handle.h"
#include "tests/ptx/runtime/memory.h"
#include "tests/ptx/runtime/settings.h"

namespace lockstep::emulation {
namespace {

constexpr std::uint32_t kMark = 0x4C534D49;  // tells handles from other bytes
constexpr std::size_t kSlots = 4096;         // events of one process that others may open

struct MemoryHandle {
  std::uint32_t mark;
  std::int32_t physical;
  Shared shared;
};
struct EventHandle {
  std::uint32_t mark, slot;
  std::int32_t process, file;
};
static_assert(sizeof(MemoryHandle) <= sizeof(cudaIpcMemHandle_t));
static_assert(sizeof(EventHandle) <= sizeof(cudaIpcEventHandle_t));

// Events of this process and of those whose events it opened; never unmapped.
struct EventFiles {
  int file = -1;
  SharedEvent* own = nullptr;
  std::uint32_t used = 0;
  std::vector<std::uint32_t> released;
  std::map<std::pair<int, int>, SharedEvent*> others;  // by process and file
  std::set<std::pair<int, int>> peers;                 // device, and the one it may access
};
EventFiles& files() {
  static EventFiles& f = *new EventFiles;  // never destroyed: see memory.cpp
  return f;
}

SharedEvent* map_events(int file) {
  void* data =
      mmap(nullptr, kSlots * sizeof(SharedEvent), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  return data == MAP_FAILED ? nullptr : static_cast<SharedEvent*>(data);
}

}  // namespace

void share_event(Event& event) {
  EventFiles& f = files();
  if (f.own == nullptr) {
    f.file = memfd_create("lockstep-events", MFD_CLOEXEC);
    if (f.file < 0 || ftruncate(f.file, kSlots * sizeof(SharedEvent)) != 0) throw std::bad_alloc();
    f.own = map_events(f.file);
  }
  if (f.own == nullptr || (f.released.empty() && f.used == kSlots)) throw std::bad_alloc();
  event.slot = f.released.empty() ? f.used++ : f.released.back();
  if (!f.released.empty()) f.released.pop_back();
  event.shared = new (&f.own[event.slot]) SharedEvent;
  run_in_background();
}

void unshare_event(const Event& event) {
  if (files().own && event.shared == &files().own[event.slot])
    files().released.push_back(event.slot);
}

}  // namespace lockstep::emulation

using namespace lockstep::emulation;

LOCKSTEP_API cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int other) {
  return call(Capturing::kSafe, [&](Lock&) {
    if (device < 0 || other < 0 || device >= device_count() || other >= device_count())
      return cudaErrorInvalidDevice;
    *can = device != other && peers(device, other);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaDeviceEnablePeerAccess(int other, unsigned flags) {
  return call(Capturing::kSafe, [&](Lock&) {
    if (flags != 0) return cudaErrorInvalidValue;
    if (other < 0 || other >= device_count() || other == current_device())
      return cudaErrorInvalidDevice;
    if (!peers(current_device(), other)) return cudaErrorPeerAccessUnsupported;
    return files().peers.insert({current_device(), other}).second
               ? cudaSuccess
               : cudaErrorPeerAccessAlreadyEnabled;
  });
}
LOCKSTEP_API cudaError_t cudaDeviceDisablePeerAccess(int other) {
  return call(Capturing::kSafe, [&](Lock&) {
    return files().peers.erase({current_device(), other}) ? cudaSuccess
                                                          : cudaErrorPeerAccessNotEnabled;
  });
}

LOCKSTEP_API cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* data) {
  return call(Capturing::kUnsafe, [&](Lock&) {
    const Allocation* a = find_allocation(data);
    if (!settings().ipc) return cudaErrorNotSupported;
    if (a == nullptr || a->kind != Allocation::Kind::kDevice) return cudaErrorInvalidValue;
    MemoryHandle made{kMark, physical_device(a->device), {}};
    if (const cudaError_t error = share(*a, made.shared); error != cudaSuccess) return error;
    std::memset(handle, 0, sizeof *handle);
    std::memcpy(handle, &made, sizeof made);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaIpcOpenMemHandle(void** data, cudaIpcMemHandle_t handle,
                                              unsigned flags) {
  return call(Capturing::kUnsafe, [&](Lock&) {
    MemoryHandle made;
    std::memcpy(&made, &handle, sizeof made);
    if (!settings().ipc) return cudaErrorNotSupported;
    if (flags != cudaIpcMemLazyEnablePeerAccess || made.mark != kMark) return cudaErrorInvalidValue;
    if (made.shared.process == getpid()) return cudaErrorDeviceUninitialized;
    if (made.physical != physical_device(current_device()) && !settings().peer_access)
      return cudaErrorPeerAccessUnsupported;
    return open_shared(made.shared, current_device(), data);
  });
}
LOCKSTEP_API cudaError_t cudaIpcCloseMemHandle(void* data) {
  return call(Capturing::kUnsafe, [&](Lock& lock) {
    finish_device(lock, current_device());
    return release(data, Allocation::Kind::kOpened, Allocation::Kind::kOpened);
  });
}

LOCKSTEP_API cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t* handle, cudaEvent_t event) {
  return call(Capturing::kUnsafe, [&](Lock&) {
    const Event* found = find_event(event);
    if (!settings().ipc) return cudaErrorNotSupported;
    if (!found || !found->shared || found->shared != &files().own[found->slot])
      return cudaErrorInvalidResourceHandle;
    const EventHandle made{kMark, found->slot, getpid(), files().file};
    std::memset(handle, 0, sizeof *handle);
    std::memcpy(handle, &made, sizeof made);
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaIpcOpenEventHandle(cudaEvent_t* event, cudaIpcEventHandle_t handle) {
  return call(Capturing::kUnsafe, [&](Lock&) {
    EventHandle made;
    std::memcpy(&made, &handle, sizeof made);
    if (!settings().ipc) return cudaErrorNotSupported;
    if (made.mark != kMark) return cudaErrorInvalidValue;
    if (made.process == getpid()) return cudaErrorDeviceUninitialized;
    SharedEvent*& mapped = files().others[{made.process, made.file}];
    if (mapped == nullptr) {
      char path[64];
      std::snprintf(path, sizeof path, "/proc/%d/fd/%d", made.process, made.file);
      const int file = open(path, O_RDWR | O_CLOEXEC);
      if (file < 0) return cudaErrorInvalidResourceHandle;
      mapped = map_events(file);
      close(file);
      if (mapped == nullptr) return cudaErrorInvalidResourceHandle;
    }
    run_in_background();
    auto opened = std::make_shared<Event>();
    opened->flags = cudaEventInterprocess | cudaEventDisableTiming;
    opened->device = current_device();
    opened->shared = &mapped[made.slot];
    opened->slot = made.slot;
    *event = keep_event(std::move(opened));
    return cudaSuccess;
  });
}
