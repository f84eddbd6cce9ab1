#include "train/host_tensors.h"

#include "lockstep/core/error.h"

namespace lockstep::train {

HostTensors::Untouched::Untouched(std::int64_t elements)
    : data(static_cast<float*>(std::calloc(static_cast<std::size_t>(elements), sizeof(float)))) {
  if (data == nullptr && elements > 0)
    throw UserError("not enough memory for host copies of the state; use more ranks");
}

void HostTensors::add(const parallel::StateTensor& tensor, std::int64_t elements) {
  float* host = tensor.data;
  const bool copied = !device_.is_host() && !tensor.on_host && tensor.data != nullptr;
  if (copied) {
    Untouched& copy = memory_.emplace_back(elements);
    host = copy.data.get();
    if (tensor.runs == nullptr) {
      copies_.push_back({tensor.data, host, static_cast<std::size_t>(elements) * sizeof(float)});
    } else {
      for (const BlockRun& run : *tensor.runs) {
        copies_.push_back({tensor.data + run.at, host + run.begin,
                           static_cast<std::size_t>(run.elements) * sizeof(float)});
      }
    }
  }
  tensors_.push_back({tensor.name, host, tensor.holders, copied});
}

void HostTensors::fetch() {
  for (const Copy& c : copies_) device_.copy(c.host, c.on_device, c.bytes, stream_);
  stream_.synchronize();
}

void HostTensors::store() {
  for (const Copy& c : copies_) device_.copy(c.on_device, c.host, c.bytes, stream_);
  stream_.synchronize();
}

std::size_t HostTensors::bytes() const {
  std::size_t bytes = 0;
  for (const Copy& c : copies_) bytes += c.bytes;
  return bytes;
}

}  // namespace lockstep::train
