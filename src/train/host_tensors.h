// The flat tensors of a run where the host reads and writes them: for first values, digests and
// checkpoints. Where the host shares the device's memory they are the tensors themselves; elsewhere
// copies, made once. Knows no file.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/device/device.h"
#include "lockstep/parallel/strategy.h"
#include "lockstep/train/checkpoint.h"

namespace lockstep::train {

class HostTensors {
 public:
  // stream: orders copies with the work that changes the tensors.
  HostTensors(Device& device, Stream& stream) : device_(device), stream_(stream) {}
  void add(const parallel::StateTensor& tensor, std::int64_t elements);
  const std::vector<FlatTensor>& tensors() const { return tensors_; }
  void fetch();               // from the device; returns when they are here
  void store();               // to the device; returns when they are there
  std::size_t bytes() const;  // of the copies

 private:
  // With the layout of the flat buffer, of which only what the device holds is ever touched.
  struct Untouched {
    explicit Untouched(std::int64_t elements);
    struct Free {
      void operator()(float* memory) const { std::free(memory); }
    };
    std::unique_ptr<float, Free> data;
  };
  struct Copy {
    float *on_device, *host;
    std::size_t bytes;
  };
  Device& device_;
  Stream& stream_;
  std::vector<FlatTensor> tensors_;
  std::vector<Untouched> memory_;
  std::vector<Copy> copies_;
};

}  // namespace lockstep::train
