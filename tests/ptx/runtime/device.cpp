#include "tests/ptx/runtime/device.h"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/memory.h"
#include "tests/ptx/runtime/schedule.h"
#include "tests/ptx/runtime/settings.h"
#include "tests/ptx/runtime/stream.h"

namespace lockstep::emulation {
namespace {

constexpr int kInstances = 7;  // MIG instances of each device
constexpr int kVersion = CUDART_VERSION;

struct Visible {
  int physical = 0;
  int instance = -1;  // of MIG; -1: the whole device
};

thread_local int current = 0;

// "Lockstep", then the instance counted from 1 (0: none) and the number of the device.
cudaUUID_t uuid_of(const Visible& device) {
  cudaUUID_t uuid{};
  std::memcpy(uuid.bytes, "Lockstep", 8);
  uuid.bytes[14] = static_cast<char>(device.instance + 1);
  uuid.bytes[15] = static_cast<char>(device.physical);
  return uuid;
}

std::string text_of(const cudaUUID_t& uuid) {
  std::string text;
  char digits[3];
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    text += digits;
  }
  return text;
}

// One entry of CUDA_VISIBLE_DEVICES: a number, or a UUID (of a device, its beginning suffices).
bool find_visible(std::string_view entry, Visible& found) {
  const int devices = settings().devices;
  const bool whole = entry.starts_with("GPU-");
  if (whole || entry.starts_with("MIG-")) {
    const std::string_view wanted = entry.substr(4);
    for (int d = 0; d < devices; ++d)
      for (int i = whole ? -1 : 0; i < (whole ? 0 : kInstances); ++i) {
        const std::string text = text_of(uuid_of({d, i}));
        if (text == wanted || (whole && !wanted.empty() && text.starts_with(wanted))) {
          found = {d, i};
          return true;
        }
      }
    return false;
  }
  if (entry.empty() || entry.find_first_not_of("0123456789") != entry.npos || entry.size() > 4)
    return false;
  found = {std::atoi(std::string(entry).c_str()), -1};
  return found.physical < devices;
}

// The first entry that is no device ends the list; a device named twice leaves none.
std::vector<Visible> read_visible() {
  std::vector<Visible> visible;
  const char* list = std::getenv("CUDA_VISIBLE_DEVICES");
  if (list == nullptr) {
    for (int d = 0; d < settings().devices; ++d) visible.push_back({d, -1});
    return visible;
  }
  for (std::string_view rest = list; !rest.empty();) {
    std::string_view entry = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    Visible device;
    if (!find_visible(entry, device)) break;
    for (const Visible& each : visible)
      if (each.physical == device.physical && each.instance == device.instance) return {};
    visible.push_back(device);
    if (device.instance >= 0) break;  // a process sees one MIG instance
  }
  return visible;
}

const std::vector<Visible>& visible_devices() {
  static const std::vector<Visible> visible = read_visible();
  return visible;
}

bool valid(int device) { return device >= 0 && device < device_count(); }

}  // namespace

int device_count() { return static_cast<int>(visible_devices().size()); }
int current_device() { return current; }
int physical_device(int device) { return visible_devices()[device].physical; }

bool peers(int device, int other) {
  const auto& v = visible_devices();
  return settings().peer_access && v[device].instance < 0 && v[other].instance < 0;
}

cudaError_t set_device(int device) {
  if (!valid(device)) return device_count() == 0 ? cudaErrorNoDevice : cudaErrorInvalidDevice;
  current = device;
  return cudaSuccess;
}

Limits limits() {
  const int capability = 10 * settings().major + settings().minor;
  if (capability < 80) return {40, 1024, 16, 64 << 10, 64 << 10};
  if (capability == 80) return {108, 2048, 32, 164 << 10, 163 << 10};
  if (capability < 90 || capability >= 120) return {84, 1536, 24, 100 << 10, 99 << 10};
  return {132, 2048, 32, 228 << 10, 227 << 10};
}

}  // namespace lockstep::emulation

using namespace lockstep::emulation;

LOCKSTEP_API cudaError_t cudaGetDeviceCount(int* count) {
  return call(Capturing::kSafe, [&](Lock&) {
    *count = device_count();
    return *count == 0 ? cudaErrorNoDevice : cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaSetDevice(int device) {
  return call(Capturing::kSafe, [&](Lock&) { return set_device(device); });
}
LOCKSTEP_API cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  return call(Capturing::kSafe,
              [&](Lock&) { return valid(device) ? cudaSuccess : cudaErrorInvalidDevice; });
}
LOCKSTEP_API cudaError_t cudaGetDevice(int* device) {
  return call(Capturing::kSafe, [&](Lock&) {
    *device = current;
    return device_count() == 0 ? cudaErrorNoDevice : cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaSetDeviceFlags(unsigned) {
  return call(Capturing::kSafe, [](Lock&) { return cudaSuccess; });
}
LOCKSTEP_API cudaError_t cudaDeviceSynchronize() {
  return call(Capturing::kSafe, [](Lock& lock) {
    if (device_count() == 0) return cudaErrorNoDevice;
    if (const cudaError_t error = refuse_any_capture(); error != cudaSuccess) return error;
    finish_device(lock, current);
    return failure();
  });
}
// Memory and streams stay: no program of ours goes on after it.
LOCKSTEP_API cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }

LOCKSTEP_API cudaError_t cudaDriverGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}
LOCKSTEP_API cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}

LOCKSTEP_API cudaError_t cudaMemGetInfo(std::size_t* left, std::size_t* total) {
  return call(Capturing::kSafe, [&](Lock&) {
    if (device_count() == 0) return cudaErrorNoDevice;
    *total = settings().memory;
    *left = *total - memory_used(current);
    return cudaSuccess;
  });
}

LOCKSTEP_API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  return call(Capturing::kSafe, [&](Lock&) {
    if (!valid(device)) return cudaErrorInvalidDevice;
    const Visible visible = visible_devices()[device];
    const Limits l = limits();
    *p = {};
    std::snprintf(p->name, sizeof p->name, "Emulated GPU%s", visible.instance < 0 ? "" : " MIG 1g");
    p->uuid = uuid_of(visible);
    p->totalGlobalMem = settings().memory;
    p->sharedMemPerBlock = kSharedByDefault;
    p->sharedMemPerBlockOptin = l.shared_per_block;
    p->sharedMemPerMultiprocessor = l.shared_per_multiprocessor;
    p->reservedSharedMemPerBlock = 1024;
    p->regsPerBlock = p->regsPerMultiprocessor = l.registers;
    p->warpSize = 32;
    p->memPitch = 2147483647;
    p->maxThreadsPerBlock = kThreadsPerBlock;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 2147483647;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->totalConstMem = 65536;
    p->major = settings().major;
    p->minor = settings().minor;
    p->textureAlignment = 512;
    p->multiProcessorCount = l.multiprocessors;
    p->canMapHostMemory = 1;
    p->concurrentKernels = 1;
    p->pciBusID = 16 * (visible.physical + 1);
    p->asyncEngineCount = 3;
    p->unifiedAddressing = 1;
    p->memoryBusWidth = 5120;
    p->l2CacheSize = 40 << 20;
    p->maxThreadsPerMultiProcessor = l.threads_per_multiprocessor;
    p->maxBlocksPerMultiProcessor = l.blocks_per_multiprocessor;
    p->streamPrioritiesSupported = 1;
    p->globalL1CacheSupported = p->localL1CacheSupported = 1;
    p->managedMemory = 1;
    p->cooperativeLaunch = 1;
    p->hostRegisterSupported = 1;
    p->ipcEventSupported = settings().ipc;
    return cudaSuccess;
  });
}

LOCKSTEP_API cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (const cudaError_t error = cudaGetDeviceProperties(&p, device); error != cudaSuccess)
    return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxBlockDimX:
      *value = p.maxThreadsDim[0];
      break;
    case cudaDevAttrMaxBlockDimY:
      *value = p.maxThreadsDim[1];
      break;
    case cudaDevAttrMaxBlockDimZ:
      *value = p.maxThreadsDim[2];
      break;
    case cudaDevAttrMaxGridDimX:
      *value = p.maxGridSize[0];
      break;
    case cudaDevAttrMaxGridDimY:
      *value = p.maxGridSize[1];
      break;
    case cudaDevAttrMaxGridDimZ:
      *value = p.maxGridSize[2];
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(p.sharedMemPerBlock);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *value = static_cast<int>(p.reservedSharedMemPerBlock);
      break;
    case cudaDevAttrTotalConstantMemory:
      *value = static_cast<int>(p.totalConstMem);
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
      *value = p.regsPerBlock;
      break;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = p.regsPerMultiprocessor;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = p.maxBlocksPerMultiProcessor;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrClockRate:
      *value = 1410000;
      break;  // kHz
    case cudaDevAttrMemoryClockRate:
      *value = 1215000;
      break;  // kHz
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = p.memoryBusWidth;
      break;
    case cudaDevAttrAsyncEngineCount:
      *value = p.asyncEngineCount;
      break;
    case cudaDevAttrConcurrentKernels:
      *value = 1;
      break;
    case cudaDevAttrUnifiedAddressing:
      *value = 1;
      break;
    case cudaDevAttrManagedMemory:
      *value = 1;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = 1;
      break;
    case cudaDevAttrCanMapHostMemory:
      *value = 1;
      break;
    case cudaDevAttrHostRegisterSupported:
      *value = 1;
      break;
    case cudaDevAttrPciBusId:
      *value = p.pciBusID;
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = 0;
      break;
    case cudaDevAttrIpcEventSupport:
      *value = p.ipcEventSupported;
      break;
    case cudaDevAttrIntegrated:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId:
    case cudaDevAttrClusterLaunch:
    case cudaDevAttrHostNativeAtomicSupported:
    case cudaDevAttrComputeMode:
    case cudaDevAttrKernelExecTimeout:
      *value = 0;
      break;
    default:
      std::fprintf(stderr, "emulated CUDA: device attribute %d is not known\n", attribute);
      return remember(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

LOCKSTEP_API cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  return call(Capturing::kSafe, [&](Lock&) {
    if (!valid(device)) return cudaErrorInvalidDevice;
    std::snprintf(text, static_cast<std::size_t>(length), "0000:%02X:00.0",
                  16 * (physical_device(device) + 1));
    return cudaSuccess;
  });
}
LOCKSTEP_API cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return cudaSuccess;
}
LOCKSTEP_API cudaError_t cudaDeviceGetLimit(std::size_t* value, cudaLimit limit) {
  *value = limit == cudaLimitStackSize ? 1024 : limit == cudaLimitPrintfFifoSize ? 1 << 20 : 0;
  return cudaSuccess;
}
LOCKSTEP_API cudaError_t cudaDeviceSetLimit(cudaLimit, std::size_t) { return cudaSuccess; }
LOCKSTEP_API cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache) { return cudaSuccess; }
LOCKSTEP_API cudaError_t cudaProfilerStart() { return cudaSuccess; }
LOCKSTEP_API cudaError_t cudaProfilerStop() { return cudaSuccess; }
