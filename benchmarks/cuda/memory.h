// Memory of entries: numbers made on the host once, and comparison of two results.
#pragma once
#include <cuda_bf16.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "lockstep/core/philox.h"
#include "lockstep/device/device.h"

namespace lockstep::bench {

// n elements on a device; copied by value, freed with the last copy.
template <class T>
class Array {
 public:
  Array() = default;
  Array(Device& device, std::int64_t n)
      : buffer_(std::make_shared<Buffer>(device.allocate(n * sizeof(T), "a benchmark"))),
        device_(&device),
        n_(n) {}
  T* data() const { return buffer_->as<T>(); }
  operator T*() const { return data(); }
  std::int64_t size() const { return n_; }
  void upload(const std::vector<T>& values) const {
    const auto stream = device_->make_stream();
    device_->copy(data(), values.data(), n_ * sizeof(T), *stream);
    stream->synchronize();
  }
  std::vector<T> download() const {
    std::vector<T> values(n_);
    const auto stream = device_->make_stream();
    device_->copy(values.data(), data(), n_ * sizeof(T), *stream);
    stream->synchronize();
    return values;
  }

 private:
  std::shared_ptr<Buffer> buffer_;
  Device* device_ = nullptr;
  std::int64_t n_ = 0;
};

// Numbers in (-1, 1), named by (seed, element).
template <class T = float>
Array<T> random_array(Device& device, std::int64_t n, std::uint64_t seed) {
  std::vector<T> values(n);
  const RandomKey key{.seed = seed};
  for (std::int64_t i = 0; i < n; i += 4) {
    const auto words = philox4x32(key.counter(i / 4), seed);
    for (std::int64_t k = i; k < std::min(i + 4, n); ++k)
      values[k] = T(static_cast<float>(2 * unit_interval(words[k - i]) - 1));
  }
  Array<T> array(device, n);
  array.upload(values);
  return array;
}

template <class T>
double deviation(const std::vector<T>& a, const std::vector<T>& b) {
  double largest = 0, error = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<float>(a[i]), y = static_cast<float>(b[i]);
    largest = std::max(largest, std::abs(y));
    const double off = std::abs(x - y);
    if (!(off <= error)) error = off;  // NaN stays
  }
  return largest > 0 ? error / largest : error;
}

template <class T>
double deviation(const Array<T>& got, const Array<T>& expected) {
  return deviation(got.download(), expected.download());
}

}  // namespace lockstep::bench
