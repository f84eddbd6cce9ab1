// What a program asks of its devices: how many, what they can do, how much memory they have.
#include <cuda_runtime_api.h>

#include <cstdio>

#include "tests/ptx/runtime/call.h"
#include "tests/ptx/runtime/device.h"
#include "tests/ptx/runtime/memory.h"
#include "tests/ptx/runtime/schedule.h"
#include "tests/ptx/runtime/settings.h"
#include "tests/ptx/runtime/stream.h"

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
              [&](Lock&) { return valid_device(device) ? cudaSuccess : cudaErrorInvalidDevice; });
}
LOCKSTEP_API cudaError_t cudaGetDevice(int* device) {
  return call(Capturing::kSafe, [&](Lock&) {
    *device = current_device();
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
    finish_device(lock, current_device());
    return failure();
  });
}
// Memory and streams stay: no program of ours goes on after it.
LOCKSTEP_API cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }

LOCKSTEP_API cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
LOCKSTEP_API cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

LOCKSTEP_API cudaError_t cudaMemGetInfo(std::size_t* left, std::size_t* total) {
  return call(Capturing::kSafe, [&](Lock&) {
    if (device_count() == 0) return cudaErrorNoDevice;
    *total = settings().memory;
    *left = *total - memory_used(current_device());
    return cudaSuccess;
  });
}

LOCKSTEP_API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  return call(Capturing::kSafe, [&](Lock&) {
    if (!valid_device(device)) return cudaErrorInvalidDevice;
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
    if (!valid_device(device)) return cudaErrorInvalidDevice;
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
