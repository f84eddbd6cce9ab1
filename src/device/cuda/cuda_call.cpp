#include "device/cuda/cuda_call.h"

#include <cstdlib>
#include <string_view>
#include <utility>

#include "lockstep/core/error.h"

namespace lockstep::cuda {
namespace {

thread_local std::string place = "cuda";

bool is_of_running_kernel(cudaError_t error) {
  switch (error) {
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorMisalignedAddress:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string where() { return place; }
void set_where(std::string text) { place = std::move(text); }

bool launches_block() {
  const char* value = std::getenv("CUDA_LAUNCH_BLOCKING");
  return value != nullptr && std::string_view(value) == "1";
}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  // A kernel that fails while it runs is reported by some later call, which does not know its name.
  if (is_of_running_kernel(error) && !launches_block())
    throw Error(ExitCode::kBug,
                fmt::format("a kernel on {} failed: {} ({}, seen by {}); run it again with "
                            "CUDA_LAUNCH_BLOCKING=1 in the environment, which names the kernel",
                            place, cudaGetErrorString(error), cudaGetErrorName(error), what));
  throw Error(ExitCode::kBug, fmt::format("{} on {} failed: {} ({})", what, place,
                                          cudaGetErrorString(error), cudaGetErrorName(error)));
}

}  // namespace lockstep::cuda
