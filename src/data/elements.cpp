#include "elements.h"

#include <algorithm>
#include <cmath>

#include "element_types.h"

namespace lockstep::data {
namespace {

// The caller's own loop, once a sample and epoch: without aliasing it is vectorised.
template <class T>
void affine_loop(const std::byte* __restrict elements, std::int64_t count, float shift, float scale,
                 float* __restrict out) {
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = (static_cast<float>(at<T>(elements, i)) - shift) * scale;
}

// The first element that is not good: one vectorisable pass over blocks, then the culprit.
template <class T, class Good>
std::int64_t first_that_is_not(const std::byte* elements, std::int64_t count, const Good& good) {
  constexpr std::int64_t kBlockElements = 4096;
  for (std::int64_t begin = 0; begin < count; begin += kBlockElements) {
    const std::int64_t end = std::min(begin + kBlockElements, count);
    bool all = true;
    for (std::int64_t i = begin; i < end; ++i) all &= good(at<T>(elements, i));
    if (all) continue;
    for (std::int64_t i = begin; i < end; ++i)
      if (!good(at<T>(elements, i))) return i;
  }
  return count;
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
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = static_cast<std::int32_t>(at<decltype(type)>(elements, i));
  });
}

std::int64_t first_not_finite(DType dtype, const std::byte* elements, std::int64_t count) {
  if (!is_float(dtype)) return count;
  return with_type(dtype, [&](auto type) {
    // A finite number times zero is zero.
    return first_that_is_not<decltype(type)>(
        elements, count, [](auto value) { return static_cast<double>(value) * 0 == 0; });
  });
}

std::int64_t first_bad_label(DType dtype, const std::byte* elements, std::int64_t count,
                             std::int64_t classes) {
  return with_type(dtype, [&](auto type) {
    using T = decltype(type);
    if constexpr (std::is_integral_v<T>) {
      const auto limit = static_cast<std::uint64_t>(classes);  // negative numbers become large
      return first_that_is_not<T>(elements, count, [limit](T value) {
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(value)) < limit;
      });
    } else {
      // Doubles hold every class number exactly; NaN fails both comparisons.
      const auto limit = static_cast<double>(classes);
      return first_that_is_not<T>(elements, count, [limit](T value) {
        const auto v = static_cast<double>(value);
        return v >= 0 && v < limit && v == std::floor(v);
      });
    }
  });
}

std::int64_t first_not_above(DType dtype, const std::byte* elements, std::int64_t count,
                             double limit) {
  return with_type(dtype, [&](auto type) {
    return first_that_is_not<decltype(type)>(
        elements, count, [limit](auto value) { return static_cast<double>(value) > limit; });
  });
}

}  // namespace lockstep::data
