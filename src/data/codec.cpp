#include "codec.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

namespace lockstep::data {
namespace {

template <class T>
void swap_elements(std::span<std::byte> bytes) {
  for (std::size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + i, sizeof value);
    if constexpr (sizeof(T) == 2) value = __builtin_bswap16(value);
    if constexpr (sizeof(T) == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) value = __builtin_bswap64(value);
    std::memcpy(bytes.data() + i, &value, sizeof value);
  }
}

// Written so that the compiler interleaves vectors of planes.
template <std::size_t kBytes>
void interleave(const std::byte* __restrict in, std::byte* __restrict out, std::size_t elements) {
  for (std::size_t i = 0; i < elements; ++i)
    for (std::size_t b = 0; b < kBytes; ++b) out[i * kBytes + b] = in[b * elements + i];
}

std::uint16_t swapped(std::uint32_t half) {
  return __builtin_bswap16(static_cast<std::uint16_t>(half));
}

// In [1, 65535], or 0 for 0: as HDF5's folding of the upper half onto the lower leaves it.
std::uint32_t folded(std::uint64_t sum) {
  return sum == 0 ? 0 : static_cast<std::uint32_t>((sum - 1) % 65535 + 1);
}

}  // namespace

void unshuffle(std::span<const std::byte> in, std::span<std::byte> out, std::size_t element_bytes) {
  const std::size_t elements = in.size() / element_bytes;
  const std::size_t done = elements * element_bytes;
  switch (element_bytes) {
    case 2:
      interleave<2>(in.data(), out.data(), elements);
      break;
    case 4:
      interleave<4>(in.data(), out.data(), elements);
      break;
    case 8:
      interleave<8>(in.data(), out.data(), elements);
      break;
    default:
      for (std::size_t b = 0; b < element_bytes; ++b)
        for (std::size_t i = 0; i < elements; ++i)
          out[i * element_bytes + b] = in[b * elements + i];
  }
  std::copy(in.begin() + static_cast<std::ptrdiff_t>(done), in.end(),
            out.begin() + static_cast<std::ptrdiff_t>(done));
}

// Modulo 65535 a swap of a word's bytes is a multiplication by 256, so that the sums of words read
// little-endian are those of HDF5 with their bytes swapped.
std::uint32_t fletcher32(std::span<const std::byte> bytes) {
  constexpr std::size_t kBlock = 256;  // words: no sum of a block leaves 32 bits
  std::uint64_t sum = 0, sum_of_sums = 0;
  const std::size_t words = bytes.size() / 2;
  for (std::size_t at = 0; at < words; at += kBlock) {
    const std::size_t count = std::min(kBlock, words - at);
    const std::byte* from = bytes.data() + at * 2;
    std::uint32_t plain = 0, weighted = 0;
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t word;
      std::memcpy(&word, from + i * 2, sizeof word);
      plain += word;
      weighted += static_cast<std::uint32_t>(count - i) * word;
    }
    sum_of_sums = folded(sum_of_sums + count * sum + weighted);
    sum = folded(sum + plain);
  }
  if (bytes.size() % 2 != 0) {
    sum = folded(sum + std::to_integer<std::uint32_t>(bytes.back()));
    sum_of_sums = folded(sum_of_sums + sum);
  }
  return std::uint32_t{swapped(static_cast<std::uint32_t>(sum_of_sums))} << 16 |
         swapped(static_cast<std::uint32_t>(sum));
}

bool ends_with_fletcher32(std::span<const std::byte> bytes) {
  if (bytes.size() < 4) return false;
  std::uint32_t stored;
  std::memcpy(&stored, bytes.data() + bytes.size() - 4, sizeof stored);
  const std::uint32_t sum = fletcher32(bytes.first(bytes.size() - 4));
  const std::uint32_t old = std::uint32_t{swapped(sum >> 16)} << 16 | swapped(sum);
  return stored == sum || stored == old;
}

void swap_bytes(std::span<std::byte> bytes, std::size_t element_bytes) {
  if (element_bytes == 2) swap_elements<std::uint16_t>(bytes);
  if (element_bytes == 4) swap_elements<std::uint32_t>(bytes);
  if (element_bytes == 8) swap_elements<std::uint64_t>(bytes);
}

}  // namespace lockstep::data
