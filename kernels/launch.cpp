#include "kernels/launch.h"

#include "device/cuda/cuda_call.h"
#include "lockstep/core/error.h"

namespace lockstep::kernels {

void check_launch(const char* kernel) { cuda::check(cudaGetLastError(), kernel); }

void require_argument(bool right, const char* what) {
  LOCKSTEP_CHECK(right, "kernel argument: {}", what);
}

void allow_shared_memory(const void* kernel, std::size_t bytes, const char* name) {
  cuda::check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(bytes)),
              name);
}

int capability() {
  int device = 0, major = 0, minor = 0;
  cuda::check(cudaGetDevice(&device), "cudaGetDevice");
  cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
              "cudaDeviceGetAttribute");
  cuda::check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
              "cudaDeviceGetAttribute");
  return 10 * major + minor;
}

void require_capability(int least, const char* kernel) {
  const int have = capability();
  if (have < least)
    throw UserError("kernel {} needs sm_{} or newer, but {} is sm_{}; use train.precision = \"fp32\"",
                    kernel, least, cuda::where(), have);
}

}  // namespace lockstep::kernels
