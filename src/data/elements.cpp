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

// The first element that has all these bits. A carry into the sign shows it: a sum,
// which vectors have in every width.
template <class T>
std::int64_t first_with_bits(const std::byte* elements, std::int64_t count, T bits) {
  constexpr std::int64_t kBlockElements = 4096;
  const T lowest = bits & (~bits + 1);
  constexpr T kHighest = static_cast<T>(T{1} << (8 * sizeof(T) - 1));
  for (std::int64_t begin = 0; begin < count; begin += kBlockElements) {
    const std::int64_t end = std::min(begin + kBlockElements, count);
    T carries = 0;
    for (std::int64_t i = begin; i < end; ++i)
      carries |= static_cast<T>((at<T>(elements, i) & bits) + lowest);
    if ((carries & kHighest) == 0) continue;
    for (std::int64_t i = begin; i < end; ++i)
      if ((at<T>(elements, i) & bits) == bits) return i;
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
  // Not finite is what has all bits of the exponent.
  switch (dtype) {
    case DType::kF16:
      return first_with_bits<std::uint16_t>(elements, count, 0x7c00);
    case DType::kF32:
      return first_with_bits<std::uint32_t>(elements, count, 0x7f800000);
    case DType::kF64:
      return first_with_bits<std::uint64_t>(elements, count, 0x7ff0000000000000);
    default:
      return count;
  }
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
