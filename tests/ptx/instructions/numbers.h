// The number types of PTX. A register is an unsigned integer of its width; as<T>() reads one as a
// number and bits() makes one of a number. 16-bit floats compute in float and are rounded once.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace lockstep::ptx {

template <class To, class From>
inline To as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(static_cast<void*>(&to), &from, sizeof to);
  return to;
}

// Rounded to odd: the last bit says that something was cut off, so that rounding again, to fewer
// bits, gives what rounding once would have (Boldo and Melquiond 2008).
inline float to_odd(double value) {
  const auto near = static_cast<float>(value);
  if (!std::isfinite(near) || near == value) return near;
  auto word = as<std::uint32_t>(near);
  if (std::fabs(near) > std::fabs(value)) --word;
  return as<float>(word | 1u);
}

struct Bf16 {
  std::uint16_t word;
  Bf16() = default;
  explicit Bf16(float value) {
    std::uint32_t x = as<std::uint32_t>(value);
    x += 0x7FFF + (x >> 16 & 1);
    word = value != value ? 0x7FFF : static_cast<std::uint16_t>(x >> 16);
  }
  explicit operator float() const { return as<float>(static_cast<std::uint32_t>(word) << 16); }
  explicit operator double() const { return float(*this); }
};

struct F16 {
  std::uint16_t word;
  F16() = default;
  explicit F16(float value)
      : word(value != value ? 0x7FFF : as<std::uint16_t>(static_cast<_Float16>(value))) {}
  explicit operator float() const { return static_cast<float>(as<_Float16>(word)); }
  explicit operator double() const { return float(*this); }
};

template <class Half>
struct Two {
  Half low, high;
};
using Bf16x2 = Two<Bf16>;
using F16x2 = Two<F16>;

template <class T>
constexpr bool kIsHalf = std::is_same_v<T, Bf16> || std::is_same_v<T, F16>;
template <class T>
constexpr bool kIsTwo = std::is_same_v<T, Bf16x2> || std::is_same_v<T, F16x2>;

template <class T>
struct Word {
  using Type = std::make_unsigned_t<T>;
};
template <>
struct Word<bool> {
  using Type = bool;
};
template <>
struct Word<float> {
  using Type = std::uint32_t;
};
template <>
struct Word<double> {
  using Type = std::uint64_t;
};
template <>
struct Word<Bf16> {
  using Type = std::uint16_t;
};
template <>
struct Word<F16> {
  using Type = std::uint16_t;
};
template <class Half>
struct Word<Two<Half>> {
  using Type = std::uint32_t;
};
template <class T>
inline typename Word<T>::Type bits(T value) {
  return as<typename Word<T>::Type>(value);
}

// f, a function of numbers, on each half of a pair; on a half in double, rounded once.
template <class T, class F, class... More>
inline T each(F f, T first, More... more) {
  if constexpr (kIsTwo<T>)
    return {each(f, first.low, more.low...), each(f, first.high, more.high...)};
  else if constexpr (kIsHalf<T>)
    return T(to_odd(f(double(first), double(more)...)));
  else
    return f(first, more...);
}

}  // namespace lockstep::ptx
