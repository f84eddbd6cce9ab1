// XXH3-128 of bytes, and its text form.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lockstep {

struct Hash128 {
  std::uint64_t low = 0, high = 0;
  bool operator==(const Hash128&) const = default;
  std::string text() const;  // 32 hexadecimal digits, high first
};

Hash128 hash_bytes(const void* data, std::size_t bytes);
std::uint64_t hash64(std::string_view text);

}  // namespace lockstep
