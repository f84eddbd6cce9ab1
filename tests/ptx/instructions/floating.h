// Floating-point instructions of PTX. The approximate ones (ex2, lg2, rcp, rsqrt, sin, cos, tanh)
// are computed exactly to float: a GPU's last bits differ.
#pragma once
#include "tests/ptx/instructions/numbers.h"

namespace lockstep::ptx {

enum class Rounding { kNearest, kDown, kUp, kZero };

inline float rounded(double value, Rounding rounding) {
  const auto near = static_cast<float>(value);
  const float infinity = std::numeric_limits<float>::infinity();
  if (rounding == Rounding::kDown && near > value) return std::nextafter(near, -infinity);
  if (rounding == Rounding::kUp && near < value) return std::nextafter(near, infinity);
  if (rounding == Rounding::kZero && std::fabs(near) > std::fabs(value))
    return std::nextafter(near, 0.0f);
  return near;
}

// .ftz: denormals, in and out, are zeros.
inline float flushed(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}

template <class T>
inline T add(T a, T b) {
  return each([](auto x, auto y) { return x + y; }, a, b);
}
template <class T>
inline T subtract(T a, T b) {
  return each([](auto x, auto y) { return x - y; }, a, b);
}
template <class T>
inline T multiply(T a, T b) {
  return each([](auto x, auto y) { return x * y; }, a, b);
}
template <class T>
inline T fused(T a, T b, T c) {
  return each([](auto x, auto y, auto z) { return std::fma(x, y, z); }, a, b, c);
}

template <class T>
inline T negated(T a) {
  if constexpr (kIsTwo<T>)
    return {negated(a.low), negated(a.high)};
  else if constexpr (kIsHalf<T>)
    return as<T>(static_cast<std::uint16_t>(a.word ^ 0x8000));
  else
    return -a;
}
template <class T>
inline T magnitude(T a) {
  if constexpr (kIsTwo<T>)
    return {magnitude(a.low), magnitude(a.high)};
  else if constexpr (kIsHalf<T>)
    return as<T>(static_cast<std::uint16_t>(a.word & 0x7FFF));
  else if constexpr (std::is_integral_v<T>)
    return a < 0 ? T(0 - std::make_unsigned_t<T>(a)) : a;
  else
    return std::fabs(a);
}

template <class T>
inline bool is_nan(T a) {
  if constexpr (kIsHalf<T>)
    return float(a) != float(a);
  else
    return a != a;
}
template <class T>
inline bool less(T a, T b) {
  if constexpr (kIsHalf<T>)
    return float(a) < float(b);
  else
    return a < b;
}
// -0 is smaller than +0, and a NaN loses.
template <class T>
inline T minimum(T a, T b) {
  if constexpr (kIsTwo<T>)
    return {minimum(a.low, b.low), minimum(a.high, b.high)};
  else if constexpr (std::is_integral_v<T>)
    return a < b ? a : b;
  else if (is_nan(a))
    return b;
  else if (is_nan(b))
    return a;
  else
    return less(a, b) || (!less(b, a) && std::signbit(float(a))) ? a : b;
}
template <class T>
inline T maximum(T a, T b) {
  if constexpr (kIsTwo<T>)
    return {maximum(a.low, b.low), maximum(a.high, b.high)};
  else if constexpr (std::is_integral_v<T>)
    return a > b ? a : b;
  else if (is_nan(a))
    return b;
  else if (is_nan(b))
    return a;
  else
    return less(b, a) || (!less(a, b) && !std::signbit(float(a))) ? a : b;
}
// .NaN: a NaN wins.
template <class T>
inline T minimum_nan(T a, T b) {
  if constexpr (kIsTwo<T>)
    return {minimum_nan(a.low, b.low), minimum_nan(a.high, b.high)};
  else
    return is_nan(a) ? a : is_nan(b) ? b : minimum(a, b);
}
template <class T>
inline T maximum_nan(T a, T b) {
  if constexpr (kIsTwo<T>)
    return {maximum_nan(a.low, b.low), maximum_nan(a.high, b.high)};
  else
    return is_nan(a) ? a : is_nan(b) ? b : maximum(a, b);
}

template <class T>
inline T relu(T a) {
  return each([](auto x) { return x > 0 || x != x ? x : decltype(x)(0); }, a);
}
// .sat: to [0, 1]; NaN becomes 0.
template <class T>
inline T unit(T a) {
  return each([](auto x) { return x > 0 ? (x < 1 ? x : decltype(x)(1)) : decltype(x)(0); }, a);
}

#define LOCKSTEP_PTX_FUNCTION(name, expression)   \
  template <class T>                              \
  inline T name(T a) {                            \
    return each(                                  \
        [](auto x) {                              \
          using X [[maybe_unused]] = decltype(x); \
          return X(expression);                   \
        },                                        \
        a);                                       \
  }
LOCKSTEP_PTX_FUNCTION(ex2, std::exp2(x))
LOCKSTEP_PTX_FUNCTION(lg2, std::log2(x))
LOCKSTEP_PTX_FUNCTION(rcp, X(1) / x)
LOCKSTEP_PTX_FUNCTION(rsqrt, 1.0 / std::sqrt(double(x)))
LOCKSTEP_PTX_FUNCTION(square_root, std::sqrt(x))
LOCKSTEP_PTX_FUNCTION(sine, std::sin(x))
LOCKSTEP_PTX_FUNCTION(cosine, std::cos(x))
LOCKSTEP_PTX_FUNCTION(tanh, std::tanh(x))
#undef LOCKSTEP_PTX_FUNCTION

// Comparison predicates that C++ operators do not give: both are numbers; either is not.
template <class T>
inline bool ordered(T a, T b) {
  return !is_nan(a) && !is_nan(b);
}

// Conversions ------------------------------------------------------------------------------------

inline double to_integral(double x, Rounding rounding) {
  switch (rounding) {
    case Rounding::kNearest:
      return std::nearbyint(x);
    case Rounding::kDown:
      return std::floor(x);
    case Rounding::kUp:
      return std::ceil(x);
    default:
      return std::trunc(x);
  }
}
// Clamped to T; NaN becomes 0.
template <class T>
inline T to_integer(double x, Rounding rounding) {
  using Limits = std::numeric_limits<T>;
  if (x != x) return 0;
  x = to_integral(x, rounding);
  if (x <= double(Limits::min())) return Limits::min();
  if (x >= double(Limits::max())) return Limits::max();
  return static_cast<T>(x);
}
template <class To, class From>
inline To to_float(From from, Rounding rounding) {
  if constexpr (kIsHalf<To>) {
    if constexpr (std::is_same_v<From, double>)
      return To(to_odd(from));
    else if (rounding == Rounding::kZero && std::is_same_v<To, Bf16>)
      return as<To>(static_cast<std::uint16_t>(as<std::uint32_t>(float(from)) >> 16));
    else
      return To(float(from));
  } else if constexpr (std::is_same_v<To, float> && !kIsHalf<From>) {
    return rounding == Rounding::kNearest ? static_cast<float>(from)
                                          : rounded(double(from), rounding);
  } else {
    return static_cast<To>(from);
  }
}
// cvt.rna.tf32: to 10 bits of mantissa, ties away from zero.
inline std::uint32_t to_tf32(float x) { return (as<std::uint32_t>(x) + 0x1000u) & 0xFFFFE000u; }

}  // namespace lockstep::ptx
