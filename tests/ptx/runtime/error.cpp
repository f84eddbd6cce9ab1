// Errors: state, names and texts. The texts are those that the real runtime gives.
#include "tests/ptx/runtime/error.h"

#include <cuda_runtime_api.h>

#include <atomic>

#include "tests/ptx/runtime/call.h"

namespace lockstep::emulation {
namespace {

thread_local cudaError_t last = cudaSuccess;
std::atomic<cudaError_t> spoiled{cudaSuccess};

struct Text {
  cudaError_t error;
  const char* name;
  const char* text;
};

#define LOCKSTEP_ERROR(name, text) \
  Text { name, #name, text }
constexpr Text kTexts[] = {
    LOCKSTEP_ERROR(cudaSuccess, "no error"),
    LOCKSTEP_ERROR(cudaErrorInvalidValue, "invalid argument"),
    LOCKSTEP_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    LOCKSTEP_ERROR(cudaErrorInitializationError, "initialization error"),
    LOCKSTEP_ERROR(cudaErrorCudartUnloading, "driver shutting down"),
    LOCKSTEP_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    LOCKSTEP_ERROR(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    LOCKSTEP_ERROR(cudaErrorInvalidSymbol, "invalid device symbol"),
    LOCKSTEP_ERROR(cudaErrorInvalidHostPointer, "invalid host pointer"),
    LOCKSTEP_ERROR(cudaErrorInvalidDevicePointer, "invalid device pointer"),
    LOCKSTEP_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    LOCKSTEP_ERROR(cudaErrorAddressOfConstant, "invalid address of constant"),
    LOCKSTEP_ERROR(cudaErrorStubLibrary, "CUDA driver is a stub library"),
    LOCKSTEP_ERROR(cudaErrorInsufficientDriver,
                   "CUDA driver version is insufficient for CUDA runtime version"),
    LOCKSTEP_ERROR(cudaErrorCallRequiresNewerDriver,
                   "API call is not supported in the installed CUDA driver"),
    LOCKSTEP_ERROR(cudaErrorDevicesUnavailable,
                   "CUDA-capable device(s) is/are busy or unavailable"),
    LOCKSTEP_ERROR(cudaErrorIncompatibleDriverContext, "incompatible driver context"),
    LOCKSTEP_ERROR(cudaErrorMissingConfiguration, "__global__ function call is not configured"),
    LOCKSTEP_ERROR(cudaErrorPriorLaunchFailure, "unspecified launch failure in prior launch"),
    LOCKSTEP_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    LOCKSTEP_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    LOCKSTEP_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    LOCKSTEP_ERROR(cudaErrorInvalidKernelImage, "device kernel image is invalid"),
    LOCKSTEP_ERROR(cudaErrorDeviceUninitialized, "invalid device context"),
    LOCKSTEP_ERROR(cudaErrorAlreadyMapped, "resource already mapped"),
    LOCKSTEP_ERROR(cudaErrorNoKernelImageForDevice,
                   "no kernel image is available for execution on the device"),
    LOCKSTEP_ERROR(cudaErrorUnsupportedLimit, "limit is not supported on this architecture"),
    LOCKSTEP_ERROR(cudaErrorDeviceAlreadyInUse,
                   "exclusive-thread device already in use by a different thread"),
    LOCKSTEP_ERROR(cudaErrorPeerAccessUnsupported,
                   "peer access is not supported between these two devices"),
    LOCKSTEP_ERROR(cudaErrorInvalidPtx, "a PTX JIT compilation failed"),
    LOCKSTEP_ERROR(cudaErrorUnsupportedPtxVersion,
                   "the provided PTX was compiled with an unsupported toolchain."),
    LOCKSTEP_ERROR(cudaErrorInvalidSource, "device kernel image is invalid"),
    LOCKSTEP_ERROR(cudaErrorFileNotFound, "file not found"),
    LOCKSTEP_ERROR(cudaErrorSharedObjectSymbolNotFound, "shared object symbol not found"),
    LOCKSTEP_ERROR(cudaErrorSharedObjectInitFailed, "shared object initialization failed"),
    LOCKSTEP_ERROR(cudaErrorOperatingSystem,
                   "OS call failed or operation not supported on this OS"),
    LOCKSTEP_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    LOCKSTEP_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    LOCKSTEP_ERROR(cudaErrorSymbolNotFound, "named symbol not found"),
    LOCKSTEP_ERROR(cudaErrorNotReady, "device not ready"),
    LOCKSTEP_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    LOCKSTEP_ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    LOCKSTEP_ERROR(cudaErrorLaunchTimeout, "the launch timed out and was terminated"),
    LOCKSTEP_ERROR(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled"),
    LOCKSTEP_ERROR(cudaErrorPeerAccessNotEnabled, "peer access has not been enabled"),
    LOCKSTEP_ERROR(cudaErrorSetOnActiveProcess,
                   "cannot set while device is active in this process"),
    LOCKSTEP_ERROR(cudaErrorContextIsDestroyed, "context is destroyed"),
    LOCKSTEP_ERROR(cudaErrorAssert, "device-side assert triggered"),
    LOCKSTEP_ERROR(cudaErrorHostMemoryAlreadyRegistered,
                   "part or all of the requested memory range is already mapped"),
    LOCKSTEP_ERROR(cudaErrorHostMemoryNotRegistered,
                   "pointer does not correspond to a registered memory region"),
    LOCKSTEP_ERROR(cudaErrorHardwareStackError, "hardware stack error"),
    LOCKSTEP_ERROR(cudaErrorIllegalInstruction, "an illegal instruction was encountered"),
    LOCKSTEP_ERROR(cudaErrorMisalignedAddress, "misaligned address"),
    LOCKSTEP_ERROR(cudaErrorInvalidAddressSpace,
                   "operation not supported on global/shared address space"),
    LOCKSTEP_ERROR(cudaErrorInvalidPc, "invalid program counter"),
    LOCKSTEP_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    LOCKSTEP_ERROR(cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch"),
    LOCKSTEP_ERROR(cudaErrorNotPermitted, "operation not permitted"),
    LOCKSTEP_ERROR(cudaErrorNotSupported, "operation not supported"),
    LOCKSTEP_ERROR(cudaErrorSystemNotReady, "system not yet initialized"),
    LOCKSTEP_ERROR(cudaErrorSystemDriverMismatch,
                   "system has unsupported display driver / cuda driver combination"),
    LOCKSTEP_ERROR(cudaErrorCompatNotSupportedOnDevice,
                   "forward compatibility was attempted on non supported HW"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureUnsupported,
                   "operation not permitted when stream is capturing"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureInvalidated,
                   "operation failed due to a previous error during capture"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureMerge,
                   "operation would result in a merge of separate capture sequences"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureUnmatched,
                   "capture was not ended in the same stream as it began"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureIsolation,
                   "dependency created on uncaptured work in another stream"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureImplicit,
                   "operation would make the legacy stream depend on a capturing blocking stream"),
    LOCKSTEP_ERROR(cudaErrorCapturedEvent,
                   "operation not permitted on an event last recorded in a capturing stream"),
    LOCKSTEP_ERROR(cudaErrorStreamCaptureWrongThread,
                   "attempt to terminate a thread-local capture sequence from another thread"),
    LOCKSTEP_ERROR(cudaErrorTimeout, "wait operation timed out"),
    LOCKSTEP_ERROR(cudaErrorGraphExecUpdateFailure,
                   "the graph update was not performed because it included "
                   "changes which violated constraints specific to instantiated graph update"),
    LOCKSTEP_ERROR(cudaErrorInvalidClusterSize,
                   "a kernel launch error has occurred due to cluster misconfiguration"),
    LOCKSTEP_ERROR(cudaErrorFunctionNotLoaded,
                   "the function handle is not loaded when calling an API that "
                   "requires a loaded function"),
    LOCKSTEP_ERROR(cudaErrorInvalidResourceType,
                   "one or more resources passed in are not valid resource "
                   "types for the operation"),
    LOCKSTEP_ERROR(cudaErrorInvalidResourceConfiguration,
                   "one or more resources are insufficient or non-applicable for the operation"),
    LOCKSTEP_ERROR(cudaErrorUnknown, "unknown error"),
};
#undef LOCKSTEP_ERROR

const Text& text_of(cudaError_t error) {
  static constexpr Text kUnknown{cudaErrorUnknown, "unrecognized error code",
                                 "unrecognized error code"};
  for (const Text& each : kTexts)
    if (each.error == error) return each;
  return kUnknown;
}

}  // namespace

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) last = error;
  return error;
}

cudaError_t last_error(bool reset) {
  if (failure() != cudaSuccess) return failure();
  const cudaError_t error = last;
  if (reset) last = cudaSuccess;
  return error;
}

cudaError_t failure() { return spoiled.load(); }

void set_failure(cudaError_t error) {
  cudaError_t none = cudaSuccess;
  spoiled.compare_exchange_strong(none, error);
}

}  // namespace lockstep::emulation

using lockstep::emulation::last_error;

LOCKSTEP_API cudaError_t cudaGetLastError() { return last_error(true); }
LOCKSTEP_API cudaError_t cudaPeekAtLastError() { return last_error(false); }
LOCKSTEP_API const char* cudaGetErrorName(cudaError_t error) {
  return lockstep::emulation::text_of(error).name;
}
LOCKSTEP_API const char* cudaGetErrorString(cudaError_t error) {
  return lockstep::emulation::text_of(error).text;
}
