#include "train/host_tensors.h"

namespace lockstep::train {

void HostTensors::add(const parallel::StateTensor& tensor, std::int64_t elements) {
  float* host = tensor.data;
  if (!device_.is_host()) {
    const auto bytes = static_cast<std::size_t>(elements) * sizeof(float);
    copies_.push_back({tensor.data, cpu_device().allocate(bytes, "host copies of the state")});
    host = copies_.back().host.as<float>();
  }
  tensors_.push_back({tensor.name, host, tensor.holders});
}

void HostTensors::fetch() {
  for (const Copy& c : copies_) device_.copy(c.host.data(), c.on_device, c.host.bytes(), stream_);
  stream_.synchronize();
}

void HostTensors::store() {
  for (const Copy& c : copies_) device_.copy(c.on_device, c.host.data(), c.host.bytes(), stream_);
  stream_.synchronize();
}

std::size_t HostTensors::bytes() const {
  std::size_t bytes = 0;
  for (const Copy& c : copies_) bytes += c.host.bytes();
  return bytes;
}

}  // namespace lockstep::train
