// The answers of a build without CUDA.
#include "lockstep/core/error.h"
#include "lockstep/device/cuda.h"

namespace lockstep {

std::unique_ptr<Device> make_cuda_device(const CudaChoice& choice) {
  throw UserError(
      "run.device = \"{}\", but this lockstep was built without CUDA; build it where CMake finds "
      "the CUDA Toolkit and cuDNN, or use run.device = \"cpu\"",
      choice.device);
}
std::string cuda_description(const Device&) { return ""; }
int cuda_capability(const Device&) { return 0; }
std::uint64_t cuda_memory(const Device&) { return 0; }
std::string cuda_identity(const Device&) { return ""; }
CudaSummary summarise_cuda_devices() {
  return {0, 0, "", "lockstep was built without CUDA"};
}

}  // namespace lockstep
