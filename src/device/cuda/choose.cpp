// Which CUDA device a rank takes.
#include <algorithm>
#include <charconv>
#include <string>

#include "device/cuda/cuda_call.h"
#include "device/cuda/cuda_device.h"
#include "lockstep/core/error.h"
#include "lockstep/device/cuda.h"

namespace lockstep {
namespace {

int visible_devices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  throw UserError(
      "run.device = \"cuda\", but this machine shows no CUDA device ({}); look at nvidia-smi and "
      "CUDA_VISIBLE_DEVICES, ask Slurm for --gpus, or use run.device = \"cpu\"",
      cudaGetErrorString(error == cudaSuccess ? cudaErrorNoDevice : error));
}

std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text;
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

int by_number(std::string_view text, int visible) {
  int index = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc() || end != text.data() + text.size() || index < 0)
    throw UserError(
        "run.device = \"cuda:{}\" is no device; use cuda, cuda:NUMBER, cuda:GPU-UUID or "
        "cuda:MIG-UUID",
        text);
  if (index >= visible)
    throw UserError("run.device = \"cuda:{}\", but {} device{} visible here, from number 0", text,
                    visible, visible == 1 ? " is" : "s are");
  return index;
}

int by_uuid(std::string_view text, int visible) {
  const std::string_view wanted = text.substr(4);  // after GPU- or MIG-
  for (int i = 0; i < visible; ++i) {
    cudaDeviceProp properties;
    cuda::check(cudaGetDeviceProperties(&properties, i), "cudaGetDeviceProperties");
    if (uuid_text(properties.uuid) == wanted) return i;
  }
  throw UserError(
      "run.device = \"cuda:{}\", but none of the {} visible devices has that UUID; see nvidia-smi "
      "-L, and set CUDA_VISIBLE_DEVICES={} if it is a MIG instance",
      text, visible, text);
}

int by_local_rank(const CudaChoice& choice, int visible) {
  if (visible == 1) return 0;  // the launcher has dealt the devices, or ranks share the only one
  if (choice.local_ranks > visible)
    throw UserError(
        "{} ranks on a node with {} CUDA devices; start at most {} ranks a node, or choose one "
        "device for all with run.device = \"cuda:0\"",
        choice.local_ranks, visible, visible);
  return choice.local_rank;
}

int choose(const CudaChoice& choice) {
  const int visible = visible_devices();
  if (choice.device == "cuda") return by_local_rank(choice, visible);
  const std::string_view which = choice.device.substr(std::min<std::size_t>(5, choice.device.size()));
  if (which.starts_with("GPU-") || which.starts_with("MIG-")) return by_uuid(which, visible);
  return by_number(which, visible);
}

}  // namespace

std::unique_ptr<Device> make_cuda_device(const CudaChoice& choice) {
  return std::make_unique<cuda::CudaDevice>(choose(choice), choice.who);
}

std::string cuda_description(const Device& device) {
  const auto& d = static_cast<const cuda::CudaDevice&>(device);
  int driver = 0, runtime = 0;
  cuda::check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  cuda::check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  return fmt::format("{}, sm_{}, driver for CUDA {}.{}, runtime {}.{}", d.properties().name,
                     d.capability(), driver / 1000, driver % 1000 / 10, runtime / 1000,
                     runtime % 1000 / 10);
}

int cuda_capability(const Device& device) {
  return static_cast<const cuda::CudaDevice&>(device).capability();
}

std::uint64_t cuda_memory(const Device& device) {
  return static_cast<const cuda::CudaDevice&>(device).properties().totalGlobalMem;
}

std::string cuda_identity(const Device& device) {
  return uuid_text(static_cast<const cuda::CudaDevice&>(device).properties().uuid);
}

}  // namespace lockstep
