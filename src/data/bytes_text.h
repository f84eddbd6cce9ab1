// Plain values and vectors of them as bytes in a string and back, for broadcasts between ranks of
// one run: this machine's order and sizes, no version.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "lockstep/core/error.h"

namespace lockstep::data {

template <class T>
void put(std::string& bytes, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
void take(std::string_view& bytes, T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  LOCKSTEP_CHECK(bytes.size() >= sizeof value, "{} bytes are left", bytes.size());
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
}

template <class T>
void put_all(std::string& bytes, const std::vector<T>& values) {
  static_assert(std::is_trivially_copyable_v<T>);
  put(bytes, static_cast<std::uint64_t>(values.size()));
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

template <class T>
void take_all(std::string_view& bytes, std::vector<T>& values) {
  std::uint64_t count = 0;
  take(bytes, count);
  LOCKSTEP_CHECK(bytes.size() / sizeof(T) >= count, "{} bytes are left", bytes.size());
  values.resize(count);
  std::memcpy(values.data(), bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
}

}  // namespace lockstep::data
