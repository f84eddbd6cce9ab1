// What leaves the process or comes from outside: CUDA IPC, and pages of the host that are pinned.
#include <cstring>

#include "device/cuda/cuda_call.h"
#include "device/cuda/cuda_device.h"

namespace lockstep::cuda {
namespace {

class IpcMemory final : public PeerMemory {
 public:
  explicit IpcMemory(void* data) : data_(data) {}
  ~IpcMemory() override { cudaIpcCloseMemHandle(data_); }
  void* data() const override { return data_; }

 private:
  void* data_;
};

// A refusal is an answer, not a fault: the next call must not report it again.
bool refused(cudaError_t error) {
  if (error != cudaSuccess) cudaGetLastError();
  return error != cudaSuccess;
}

}  // namespace

std::vector<std::byte> CudaDevice::export_memory(const void* data) {
  cudaIpcMemHandle_t handle{};
  if (refused(cudaIpcGetMemHandle(&handle, const_cast<void*>(data)))) return {};
  std::vector<std::byte> bytes(sizeof handle);
  std::memcpy(bytes.data(), &handle, sizeof handle);
  return bytes;
}

std::unique_ptr<PeerMemory> CudaDevice::open_peer(std::span<const std::byte> bytes,
                                                  std::string& refusal) {
  cudaIpcMemHandle_t handle{};
  if (bytes.size() != sizeof handle) {
    refusal = "the peer's device does not export its memory";
    return nullptr;
  }
  std::memcpy(&handle, bytes.data(), sizeof handle);
  void* data = nullptr;
  const cudaError_t error = cudaIpcOpenMemHandle(&data, handle, cudaIpcMemLazyEnablePeerAccess);
  if (refused(error)) {
    refusal = std::string("cudaIpcOpenMemHandle: ") + cudaGetErrorString(error);
    return nullptr;
  }
  return std::make_unique<IpcMemory>(data);
}

bool CudaDevice::pin(void* data, std::size_t bytes) {
  return bytes == 0 || !refused(cudaHostRegister(data, bytes, cudaHostRegisterPortable));
}

void CudaDevice::unpin(void* data) noexcept { refused(cudaHostUnregister(data)); }

}  // namespace lockstep::cuda
