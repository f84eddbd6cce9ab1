// Descriptors of the stand-in of cuDNN's graph API: attributes by name, with the types that the
// manual gives them. Knows what must be there, not what it means.
#pragma once
#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

namespace lockstep::stand_in {

struct Descriptor {
  struct Value {
    cudnnBackendAttributeType_t type;
    std::int64_t count;
    std::vector<std::byte> bytes;
  };
  cudnnBackendDescriptorType_t type;
  bool finalized = false;
  std::map<cudnnBackendAttributeName_t, Value> values;

  template <class T>
  std::vector<T> all(cudnnBackendAttributeName_t name) const {
    const auto found = values.find(name);
    if (found == values.end()) return {};
    std::vector<T> items(found->second.bytes.size() / sizeof(T));
    if (!items.empty())
      std::memcpy(items.data(), found->second.bytes.data(), items.size() * sizeof(T));
    return items;
  }
  template <class T>
  T one(cudnnBackendAttributeName_t name, T otherwise = {}) const {
    const std::vector<T> items = all<T>(name);
    return items.empty() ? otherwise : items[0];
  }
  const Descriptor& child(cudnnBackendAttributeName_t name) const {
    return *one<const Descriptor*>(name);
  }
  template <class T>
  void put(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
           const std::vector<T>& items) {
    const auto* const begin = reinterpret_cast<const std::byte*>(items.data());
    values[name] = {
        type, static_cast<std::int64_t>(items.size()), {begin, begin + items.size() * sizeof(T)}};
  }
};

// Of an attribute's elements; 0: no such type here.
std::size_t size_of(cudnnBackendAttributeType_t type);
// Whether the attribute is the descriptor's to set, has the type, and its descriptors are finished.
cudnnStatus_t check_attribute(const Descriptor& d, cudnnBackendAttributeName_t name,
                              cudnnBackendAttributeType_t type, std::int64_t count,
                              const void* elements);
// Whether everything that must be set is.
bool complete(const Descriptor& d);

// Descriptors that exist; pointers to others are refused.
void add_descriptor(const Descriptor* d);
bool remove_descriptor(const Descriptor* d);
bool is_descriptor(const Descriptor* d);

}  // namespace lockstep::stand_in
