// Integer and bit instructions of PTX that C++ has no operator for.
#pragma once
#include <algorithm>

#include "tests/ptx/instructions/numbers.h"

namespace lockstep::ptx {

__extension__ typedef __int128 Wide;
__extension__ typedef unsigned __int128 UnsignedWide;

// What PTX leaves open, a GPU answers with all ones and with the dividend.
template <class T>
inline T divide(T a, T b) {
  if (b == 0) return T(~T(0));
  if (std::is_signed_v<T> && b == T(-1)) return T(0 - std::make_unsigned_t<T>(a));
  return a / b;
}
template <class T>
inline T remainder(T a, T b) {
  if (b == 0) return a;
  if (std::is_signed_v<T> && b == T(-1)) return 0;
  return a % b;
}

template <class T>
inline T saturated(Wide value) {
  return static_cast<T>(
      std::clamp<Wide>(value, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
}

template <class T>
inline T high_product(T a, T b) {
  using W = std::conditional_t<std::is_signed_v<T>, Wide, UnsignedWide>;
  return static_cast<T>(W(a) * W(b) >> 8 * sizeof(T));
}

template <class T>
inline T shift_left(T a, std::uint32_t by) {
  return by >= 8 * sizeof(T) ? T(0) : T(a << by);
}
template <class T>
inline T shift_right(T a, std::uint32_t by) {
  if (by >= 8 * sizeof(T)) return std::is_signed_v<T> && a < 0 ? T(-1) : T(0);
  return T(a >> by);
}

// shf: 32 bits out of the 64 of high:low; by is at most 32.
inline std::uint32_t funnel_left(std::uint32_t low, std::uint32_t high, std::uint32_t by) {
  return by == 0 ? high : by >= 32 ? low : high << by | low >> (32 - by);
}
inline std::uint32_t funnel_right(std::uint32_t low, std::uint32_t high, std::uint32_t by) {
  return by == 0 ? low : by >= 32 ? high : low >> by | high << (32 - by);
}

// Bit i of `table` is the result for bits a, b, c = i's binary digits.
template <std::uint32_t table>
inline std::uint32_t lop3(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  std::uint32_t result = 0;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i)
    if (table >> i & 1) result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  return result;
}

// Each four bits of `select` choose one of the eight bytes of b:a; their top bit spreads its sign.
inline std::uint32_t prmt(std::uint32_t a, std::uint32_t b, std::uint32_t select) {
  const std::uint64_t bytes = a | static_cast<std::uint64_t>(b) << 32;
  std::uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t choice = select >> 4 * i & 15;
    std::uint32_t byte = bytes >> 8 * (choice & 7) & 0xFF;
    if (choice & 8) byte = byte & 0x80 ? 0xFF : 0;
    result |= byte << 8 * i;
  }
  return result;
}

// bfe: `length` bits from `start` on, extended by the sign (the last bit where start is beyond it).
template <class T>
inline T extract_bits(T a, std::uint32_t start, std::uint32_t length) {
  constexpr std::uint32_t kBits = 8 * sizeof(T);
  start &= 0xFF;
  length &= 0xFF;
  if (length == 0) return 0;
  const auto shifted = static_cast<UnsignedWide>(static_cast<Wide>(a)) >> std::min(start, kBits);
  if (length >= kBits) return static_cast<T>(shifted);
  const T mask = T((std::make_unsigned_t<T>(1) << length) - 1), field = T(shifted) & mask;
  if (!std::is_signed_v<T>) return field;
  const std::uint32_t sign = std::min(start + length - 1, kBits - 1);
  return a >> sign & 1 ? T(field | T(~mask)) : field;
}

// bfi: b with `length` bits of a at `start`.
template <class T>
inline T insert_bits(T a, T b, std::uint32_t start, std::uint32_t length) {
  constexpr std::uint32_t kBits = 8 * sizeof(T);
  start &= 0xFF;
  length &= 0xFF;
  if (start >= kBits || length == 0) return b;
  const T mask = length >= kBits ? T(~T(0)) : T((T(1) << length) - 1);
  return T((b & ~T(mask << start)) | T((a & mask) << start));
}

template <class T>
inline std::uint32_t leading_zeros(T a) {
  return a == 0 ? 8 * sizeof(T) : __builtin_clzll(a) - (64 - 8 * sizeof(T));
}
template <class T>
inline T reversed(T a) {
  T result = 0;
  for (unsigned i = 0; i < 8 * sizeof(T); ++i) result = T(result << 1 | (a >> i & 1));
  return result;
}
// bfind: the highest bit that is not a sign bit; ~0 for none. as_shift: the shift that would bring
// it to the top.
template <class T>
inline std::uint32_t highest_bit(T a, bool as_shift) {
  auto magnitude = std::make_unsigned_t<T>(a);
  if (std::is_signed_v<T> && a < 0) magnitude = ~magnitude;
  if (magnitude == 0) return ~0u;
  const auto bit = static_cast<std::uint32_t>(63 - __builtin_clzll(magnitude));
  return as_shift ? 8 * sizeof(T) - 1 - bit : bit;
}

// dp4a: c plus the products of four bytes.
template <class A, class B>
inline std::uint32_t dot_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  for (int i = 0; i < 4; ++i)
    c += static_cast<std::uint32_t>(static_cast<int>(static_cast<A>(a >> 8 * i)) *
                                    static_cast<int>(static_cast<B>(b >> 8 * i)));
  return c;
}

}  // namespace lockstep::ptx
