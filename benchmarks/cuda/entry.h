// A kernel to verify and to time: what it must move and compute at least, and how to run it.
#pragma once
#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/device/device.h"

namespace lockstep::bench {

enum class Arithmetic { kFp32, kBf16 };  // of the flops: CUDA cores, tensor cores

// One kernel with its memory on the device.
struct Running {
  std::function<void(cudaStream_t)> run;
  // Largest deviation from the reference form, relative to the reference's largest element.
  std::function<double(cudaStream_t)> error;
  double allowed = 1e-5;
};

struct Entry {
  std::string name, shape;
  double bytes = 0, flops = 0;  // at least
  Arithmetic arithmetic = Arithmetic::kFp32;
  std::function<Running(Device&)> build;
};

// tiny: shapes that an emulation runs in no time.
std::vector<Entry> norm_entries(bool tiny);
std::vector<Entry> loss_entries(bool tiny);
std::vector<Entry> attention_entries(bool tiny);
std::vector<Entry> update_entries(bool tiny);
std::vector<Entry> pass_entries(bool tiny);

}  // namespace lockstep::bench
