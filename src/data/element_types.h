// The C++ types of a dataset's elements, for loops that are written once for all of them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lockstep/core/dtype.h"
#include "lockstep/core/error.h"
#include "lockstep/core/half.h"

namespace lockstep::data {

struct Half {
  std::uint16_t bits;
  explicit operator float() const { return half_to_float(bits); }
  explicit operator double() const { return half_to_float(bits); }
  explicit operator std::int32_t() const { return static_cast<std::int32_t>(half_to_float(bits)); }
};

// Datasets need not be aligned.
template <class T>
T at(const std::byte* elements, std::int64_t i) {
  T value;
  std::memcpy(&value, elements + i * static_cast<std::int64_t>(sizeof(T)), sizeof value);
  return value;
}

// Calls body(T{}) with the C++ type of dtype.
template <class Body>
auto with_type(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::kF32:
      return body(float{});
    case DType::kF64:
      return body(double{});
    case DType::kF16:
      return body(Half{});
    case DType::kU8:
      return body(std::uint8_t{});
    case DType::kI8:
      return body(std::int8_t{});
    case DType::kU16:
      return body(std::uint16_t{});
    case DType::kI16:
      return body(std::int16_t{});
    case DType::kU32:
      return body(std::uint32_t{});
    case DType::kI32:
      return body(std::int32_t{});
    case DType::kU64:
      return body(std::uint64_t{});
    case DType::kI64:
      return body(std::int64_t{});
    case DType::kBF16:
      break;
  }
  check_failed(__FILE__, __LINE__, "dtype", "no dataset has this element type");
}

}  // namespace lockstep::data
