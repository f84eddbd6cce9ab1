#include "elements.h"

#include <cmath>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/half.h"

namespace lockstep::data {
namespace {

struct Half {
  std::uint16_t bits;
  explicit operator float() const { return half_to_float(bits); }
  explicit operator double() const { return half_to_float(bits); }
};

template <class T>
T at(const std::byte* elements, std::int64_t i) {
  T value;
  std::memcpy(&value, elements + static_cast<std::size_t>(i) * sizeof(T), sizeof value);
  return value;
}

// The caller's own loop, once a sample and epoch: without aliasing it is vectorised.
template <class T>
void affine_loop(const std::byte* __restrict elements, std::int64_t count, float shift, float scale,
                 float* __restrict out) {
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = (static_cast<float>(at<T>(elements, i)) - shift) * scale;
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

}  // namespace

void to_floats(DType dtype, const std::byte* elements, std::int64_t count, Affine affine,
               float* out) {
  with_type(dtype, [=](auto type) {
    affine_loop<decltype(type)>(elements, count, affine.shift, affine.scale, out);
  });
}

void to_doubles(DType dtype, const std::byte* elements, std::int64_t count, double* out) {
  with_type(dtype, [&](auto type) {
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = static_cast<double>(at<decltype(type)>(elements, i));
  });
}

void to_labels(DType dtype, const std::byte* elements, std::int64_t count, std::int32_t* out) {
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    for (std::int64_t i = 0; i < count; ++i) {
      if constexpr (std::is_same_v<T, Half>)
        out[i] = static_cast<std::int32_t>(static_cast<float>(at<T>(elements, i)));
      else
        out[i] = static_cast<std::int32_t>(at<T>(elements, i));
    }
  });
}

std::int64_t first_not_finite(DType dtype, const std::byte* elements, std::int64_t count) {
  if (!is_float(dtype)) return count;
  return with_type(dtype, [&](auto type) {
    // A finite number times zero is zero: one vectorisable pass over blocks, then the culprit.
    constexpr std::int64_t kBlockElements = 4096;
    for (std::int64_t begin = 0; begin < count; begin += kBlockElements) {
      const std::int64_t end = begin + kBlockElements < count ? begin + kBlockElements : count;
      bool finite = true;
      for (std::int64_t i = begin; i < end; ++i)
        finite &= static_cast<double>(at<decltype(type)>(elements, i)) * 0 == 0;
      if (finite) continue;
      for (std::int64_t i = begin; i < end; ++i)
        if (!std::isfinite(static_cast<double>(at<decltype(type)>(elements, i)))) return i;
    }
    return count;
  });
}

std::int64_t first_bad_label(DType dtype, const std::byte* elements, std::int64_t count,
                             std::int64_t classes) {
  return with_type(dtype, [&](auto type) {
    // Doubles hold every class number exactly; NaN fails both comparisons.
    const double limit = static_cast<double>(classes);
    for (std::int64_t i = 0; i < count; ++i) {
      const double v = static_cast<double>(at<decltype(type)>(elements, i));
      if (!(v >= 0 && v < limit && v == std::floor(v))) return i;
    }
    return count;
  });
}

}  // namespace lockstep::data
