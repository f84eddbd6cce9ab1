// What devices this process sees.
#include <fmt/format.h>

#include <map>

#include "device/cuda/cuda_call.h"
#include "lockstep/device/cuda.h"

namespace lockstep {
namespace {

int pairs_apart(int devices) {
  int pairs = 0;
  for (int a = 0; a < devices; ++a) {
    for (int b = a + 1; b < devices; ++b) {
      int forth = 0, back = 0;
      cuda::check(cudaDeviceCanAccessPeer(&forth, a, b), "cudaDeviceCanAccessPeer");
      cuda::check(cudaDeviceCanAccessPeer(&back, b, a), "cudaDeviceCanAccessPeer");
      if (forth == 0 && back == 0) ++pairs;
    }
  }
  return pairs;
}

}  // namespace

CudaSummary summarise_cuda_devices() {
  CudaSummary summary;
  const cudaError_t error = cudaGetDeviceCount(&summary.devices);
  if (error != cudaSuccess || summary.devices == 0) {
    cudaGetLastError();
    summary.devices = 0;
    summary.problem = cudaGetErrorString(error == cudaSuccess ? cudaErrorNoDevice : error);
    return summary;
  }
  std::map<std::string, int> kinds;
  for (int i = 0; i < summary.devices; ++i) {
    cudaDeviceProp properties;
    cuda::check(cudaGetDeviceProperties(&properties, i), "cudaGetDeviceProperties");
    ++kinds[properties.name];
  }
  for (const auto& [name, count] : kinds)
    summary.names += fmt::format("{}{} x {}", summary.names.empty() ? "" : ", ", count, name);
  summary.pairs_without_peers = pairs_apart(summary.devices);
  return summary;
}

}  // namespace lockstep
