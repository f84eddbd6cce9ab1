// The cuda device: memory, streams, events and graphs of one GPU through the CUDA runtime.
#pragma once
#include <cuda_runtime_api.h>

#include <string>

#include "lockstep/device/device.h"

namespace lockstep::cuda {

inline cudaStream_t native(const Stream* stream) {
  return static_cast<cudaStream_t>(stream->native());
}

class CudaDevice final : public Device {
 public:
  // who: "rank 3", for errors.
  CudaDevice(int index, std::string who);

  DeviceKind kind() const override { return DeviceKind::kCuda; }
  std::string name() const override;
  Buffer allocate(std::size_t bytes, std::string_view purpose) override;
  Buffer allocate_on_host(std::size_t bytes, std::string_view purpose) override;
  void release(void* data, std::size_t bytes, bool on_host) noexcept override;
  std::unique_ptr<Stream> make_stream() override;
  std::unique_ptr<Event> make_event() override;
  void copy(void* to, const void* from, std::size_t bytes, Stream& stream) override;
  void fill(void* to, int byte, std::size_t bytes, Stream& stream) override;
  bool captures() const override;
  std::vector<std::byte> export_memory(const void* data) override;
  std::unique_ptr<PeerMemory> open_peer(std::span<const std::byte> handle,
                                        std::string& refusal) override;
  bool pin(void* data, std::size_t bytes) override;
  void unpin(void* data) noexcept override;
  void enter() override;

  int index() const { return index_; }
  int capability() const { return 10 * properties_.major + properties_.minor; }  // 90: sm_90
  const cudaDeviceProp& properties() const { return properties_; }

 private:
  const int index_;
  const std::string who_;
  cudaDeviceProp properties_{};
};

}  // namespace lockstep::cuda
