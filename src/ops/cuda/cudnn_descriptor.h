// A descriptor of cuDNN's graph API (cudnn_graph.h): attributes are set, then it is finalized and
// can be read and used. Knows no convolution.
#pragma once
#include <span>
#include <utility>
#include <vector>

#include "ops/cuda/libraries.h"

namespace lockstep::ops {

class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type) {
    check(cudnnBackendCreateDescriptor(type, &descriptor_), "cudnnBackendCreateDescriptor");
  }
  CudnnDescriptor(CudnnDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  CudnnDescriptor& operator=(CudnnDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~CudnnDescriptor() {
    if (descriptor_ != nullptr) cudnnBackendDestroyDescriptor(descriptor_);
  }
  cudnnBackendDescriptor_t get() const { return descriptor_; }

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
           const void* values) {
    check(cudnnBackendSetAttribute(descriptor_, name, type, count, values),
          "cudnnBackendSetAttribute");
  }
  void set(cudnnBackendAttributeName_t name, std::int64_t value) {
    set(name, CUDNN_TYPE_INT64, 1, &value);
  }
  void set(cudnnBackendAttributeName_t name, std::span<const std::int64_t> values) {
    set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
  }
  void set(cudnnBackendAttributeName_t name, float value) {
    set(name, CUDNN_TYPE_FLOAT, 1, &value);
  }
  void set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
    set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
  }
  void set(cudnnBackendAttributeName_t name, cudnnHandle_t handle) {
    set(name, CUDNN_TYPE_HANDLE, 1, &handle);
  }
  void set(cudnnBackendAttributeName_t name, const CudnnDescriptor& other) {
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.descriptor_);
  }

  cudnnStatus_t try_finalize() { return cudnnBackendFinalize(descriptor_); }
  void finalize(std::string_view what) { check(try_finalize(), what); }

  // Elements there are; at most `room` are written.
  std::int64_t read(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                    std::int64_t room, void* values) const {
    std::int64_t count = 0;
    check(cudnnBackendGetAttribute(descriptor_, name, type, room, &count, values),
          "cudnnBackendGetAttribute");
    return count;
  }
  std::int64_t read_number(cudnnBackendAttributeName_t name) const {
    std::int64_t value = 0;
    read(name, CUDNN_TYPE_INT64, 1, &value);
    return value;
  }
  // At most `room`: the library writes into descriptors that were made before. Not all attributes
  // tell their number when asked for none.
  std::vector<CudnnDescriptor> read_descriptors(cudnnBackendAttributeName_t name,
                                                cudnnBackendDescriptorType_t type,
                                                std::int64_t room) const {
    std::vector<CudnnDescriptor> descriptors;
    std::vector<cudnnBackendDescriptor_t> raw;
    for (std::int64_t i = 0; i < room; ++i) raw.push_back(descriptors.emplace_back(type).get());
    if (room == 0) return descriptors;
    const std::int64_t written = read(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, room, raw.data());
    while (static_cast<std::int64_t>(descriptors.size()) > written) descriptors.pop_back();
    return descriptors;
  }

 private:
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

}  // namespace lockstep::ops
