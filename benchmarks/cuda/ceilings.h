// What a GPU reaches at best, measured; and timing of one kernel.
#pragma once
#include <cuda_runtime_api.h>

#include <functional>

#include "lockstep/device/device.h"

namespace lockstep::bench {

struct Ceilings {
  double bandwidth = 0;       // bytes read and written in a second by a copy of 1 GiB
  double fp32 = 0, bf16 = 0;  // flop/s of cuBLASLt's products of 8192 x 8192 x 8192
};
Ceilings measure_ceilings(Device& device, bool tiny);

// Runs a kernel between two events, with the L2 cache written over before each run.
class Timer {
 public:
  explicit Timer(Device& device);
  ~Timer();
  cudaStream_t stream() const;
  Stream& lockstep_stream() const { return *stream_; }
  double median_seconds(const std::function<void(cudaStream_t)>& run, int repeats);

 private:
  Device& device_;
  std::unique_ptr<Stream> stream_;
  Buffer flush_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

}  // namespace lockstep::bench
