// Elements of any type as float, double or class number; and the checks on them. Knows no file.
#pragma once
#include <cstddef>
#include <cstdint>

#include "lockstep/core/dtype.h"

namespace lockstep::data {

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
// Index of the first element that is not above `limit`; count if there is none.
std::int64_t first_not_above(DType dtype, const std::byte* elements, std::int64_t count,
                             double limit);

}  // namespace lockstep::data
