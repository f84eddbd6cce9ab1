// What the tests of the stand-in runtime share.
#pragma once
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "tests/ptx/kernels/runtime_kernels.h"

namespace lockstep::ptx {

#define EXPECT_CUDA(expected, call) \
  EXPECT_EQ(expected, call) << cudaGetErrorString(cudaPeekAtLastError())

inline cudaStream_t make_stream(unsigned flags = cudaStreamNonBlocking) {
  cudaStream_t stream = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaStreamCreateWithFlags(&stream, flags));
  return stream;
}
inline cudaEvent_t make_event() {
  cudaEvent_t event = nullptr;
  EXPECT_CUDA(cudaSuccess, cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return event;
}

// One int on the device.
class Cell {
 public:
  explicit Cell(int value = 0) {
    EXPECT_CUDA(cudaSuccess, cudaMalloc(reinterpret_cast<void**>(&data_), sizeof(int)));
    set(value);
  }
  ~Cell() { cudaFree(data_); }
  int* data() const { return data_; }
  void set(int value) {
    EXPECT_CUDA(cudaSuccess, cudaMemcpy(data_, &value, sizeof value, cudaMemcpyHostToDevice));
    EXPECT_CUDA(cudaSuccess, cudaDeviceSynchronize());
  }
  int get() const {  // of the work that is done; waits for the legacy stream only
    int value = -1;
    EXPECT_CUDA(cudaSuccess, cudaMemcpy(&value, data_, sizeof value, cudaMemcpyDeviceToHost));
    return value;
  }
  int get_at_end() const {
    EXPECT_CUDA(cudaSuccess, cudaDeviceSynchronize());
    return get();
  }

 private:
  int* data_ = nullptr;
};

// x = x * factor + term: the result tells the order.
inline cudaError_t multiply_add(int* x, int factor, int term, cudaStream_t stream) {
  void* arguments[] = {&x, &factor, &term};
  return cudaLaunchKernel(multiply_add_kernel(), dim3(1), dim3(1), arguments, 0, stream);
}
inline cudaError_t write_at(int* x, long at, cudaStream_t stream) {
  void* arguments[] = {&x, &at};
  return cudaLaunchKernel(write_kernel(), dim3(1), dim3(1), arguments, 0, stream);
}

// The order of work from now on.
inline void set_seed(std::uint64_t seed) {
  auto* set =
      reinterpret_cast<void (*)(std::uint64_t)>(dlsym(RTLD_DEFAULT, "lockstep_emulation_set_seed"));
  ASSERT_NE(set, nullptr)
      << "these tests are of the emulation: put its libraries into LD_LIBRARY_PATH";
  set(seed);
}

}  // namespace lockstep::ptx
