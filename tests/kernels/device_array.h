// Typed device memory for the tests of kernels: bytes of 0xFF (NaN) before and behind it as well,
// so that what was not written is seen. Under the address check nothing lies behind it, so that a
// read there is seen.
#pragma once
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "support/tiny.h"

namespace lockstep::kernels {

inline void expect_success(cudaError_t error) {
  ASSERT_EQ(error, cudaSuccess) << cudaGetErrorString(error);
}

template <class T>
class DeviceArray {
 public:
  // n elements of NaN (all bits set).
  explicit DeviceArray(std::size_t n) : size_(n) {
    void* memory = nullptr;
    expect_success(cudaMalloc(&memory, kGuard + bytes() + behind()));
    memory_ = static_cast<std::byte*>(memory);
    expect_success(cudaMemset(memory_, 0xFF, kGuard + bytes() + behind()));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    expect_success(cudaMemcpy(data(), values.data(), bytes(), cudaMemcpyHostToDevice));
  }
  DeviceArray(DeviceArray&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), size_(other.size_) {}
  DeviceArray& operator=(DeviceArray&&) = delete;
  ~DeviceArray() { cudaFree(memory_); }

  T* data() const { return reinterpret_cast<T*>(memory_ + kGuard); }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }

  // Waits for the device; fails if anything was written outside.
  std::vector<T> host() const {
    expect_success(cudaDeviceSynchronize());
    std::vector<std::byte> all(kGuard + bytes() + behind());
    expect_success(cudaMemcpy(all.data(), memory_, all.size(), cudaMemcpyDeviceToHost));
    for (std::size_t i = 0; i < kGuard; ++i) {
      EXPECT_EQ(all[i], std::byte{0xFF}) << "written " << kGuard - i << " bytes before the array";
    }
    for (std::size_t i = 0; i < behind(); ++i) {
      EXPECT_EQ(all[kGuard + bytes() + i], std::byte{0xFF})
          << "written " << i << " bytes behind the array";
    }
    std::vector<T> values(size_);
    std::memcpy(static_cast<void*>(values.data()), all.data() + kGuard, bytes());
    return values;
  }

 private:
  static constexpr std::size_t kGuard = 256;  // keeps cudaMalloc's alignment
  static std::size_t behind() { return checked() && !tiny() ? 0 : kGuard; }

  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace lockstep::kernels
