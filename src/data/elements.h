// Elements of any type as float, double or class number; and the checks on them. Knows no file.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>

#include "lockstep/core/dtype.h"

namespace lockstep::data {

// IEEE half to float, exact.
inline float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t{h & 0x8000u} << 16;
  const std::uint32_t exponent = h >> 10 & 0x1F, mantissa = h & 0x3FF;
  if (exponent == 0) {  // subnormal or zero: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  const std::uint32_t wide = exponent == 31 ? 0xFF : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

// y = (float(x) - shift) * scale, in float, element by element.
struct Affine {
  float shift = 0, scale = 1;
};
void to_floats(DType dtype, const std::byte* elements, std::int64_t count, Affine affine,
               float* out);
void to_doubles(DType dtype, const std::byte* elements, std::int64_t count, double* out);

// Class numbers that passed first_bad_label().
void to_labels(DType dtype, const std::byte* elements, std::int64_t count, std::int32_t* out);

// Index of the first element that is NaN or infinite; count if there is none.
std::int64_t first_not_finite(DType dtype, const std::byte* elements, std::int64_t count);
// Index of the first element that is no integer in [0, classes); count if there is none.
std::int64_t first_bad_label(DType dtype, const std::byte* elements, std::int64_t count,
                             std::int64_t classes);

}  // namespace lockstep::data
