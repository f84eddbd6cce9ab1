#include "conversion.h"

#include <algorithm>
#include <bit>

#include "element_types.h"
#include "elements.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t kBlock = 2048;  // floats of a piece: 8 KiB, a quarter of a first cache

// `columns` is known when this is compiled: the inner loop is no loop.
template <int columns, class T, class Out>
void copy_columns(const std::byte* from, std::int64_t rows, std::int64_t row_stride, Out* out) {
  for (std::int64_t y = 0; y < rows; ++y)
    for (int x = 0; x < columns; ++x)
      out[y * columns + x] = static_cast<Out>(at<T>(from, y * row_stride + x));
}

// out [rows, columns] of elements that lie so many apart.
template <class T, class Out>
void copy_plane(const std::byte* __restrict from, std::int64_t rows, std::int64_t row_stride,
                std::int64_t columns, std::int64_t stride, Out* __restrict out) {
  if (stride == 1) {
    if (columns == 2) return copy_columns<2, T>(from, rows, row_stride, out);
    if (columns == 3) return copy_columns<3, T>(from, rows, row_stride, out);
    if (columns == 4) return copy_columns<4, T>(from, rows, row_stride, out);
    for (std::int64_t y = 0; y < rows; ++y)
      for (std::int64_t x = 0; x < columns; ++x)
        out[y * columns + x] = static_cast<Out>(at<T>(from, y * row_stride + x));
  } else if (stride == -1) {
    for (std::int64_t y = 0; y < rows; ++y)
      for (std::int64_t x = 0; x < columns; ++x)
        out[y * columns + x] = static_cast<Out>(at<T>(from, y * row_stride - x));
  } else if (row_stride == 1) {  // transposed: each column is read as it lies
    for (std::int64_t x = 0; x < columns; ++x)
      for (std::int64_t y = 0; y < rows; ++y)
        out[y * columns + x] = static_cast<Out>(at<T>(from, y + x * stride));
  } else {
    for (std::int64_t y = 0; y < rows; ++y)
      for (std::int64_t x = 0; x < columns; ++x)
        out[y * columns + x] = static_cast<Out>(at<T>(from, y * row_stride + x * stride));
  }
}

// Calls sink(pieces of at most `block` elements, in order).
template <class T, class Sink>
void go(const std::byte* sample, const Walk& w, std::int64_t block, Sink& sink) {
  const bool has_columns = w.rank > 0, has_rows = w.rank > 1;
  const std::int64_t columns = has_columns ? w.extent[w.rank - 1] : 1;
  const std::int64_t stride = has_columns ? w.stride[w.rank - 1] : 1;
  const std::int64_t rows = has_rows ? w.extent[w.rank - 2] : 1;
  const std::int64_t row_stride = has_rows ? w.stride[w.rank - 2] : 0;
  const std::int64_t width = std::min(columns, block);
  const std::int64_t height = std::max<std::int64_t>(block / columns, 1);
  std::array<std::int64_t, Shape::kMaxRank> index{};
  std::int64_t start = w.start;
  while (true) {
    for (std::int64_t y = 0; y < rows; y += height)
      for (std::int64_t x = 0; x < columns; x += width) {
        const std::int64_t some_rows = std::min(height, rows - y);
        const std::int64_t some_columns = std::min(width, columns - x);
        const std::int64_t first = start + y * row_stride + x * stride;
        copy_plane<T>(sample + first * static_cast<std::int64_t>(sizeof(T)), some_rows, row_stride,
                      some_columns, stride, sink.room());
        sink.filled(some_rows * some_columns);
      }
    int axis = w.rank - 3;
    for (; axis >= 0; --axis) {
      start += w.stride[axis];
      if (++index[axis] < w.extent[axis]) break;
      start -= w.stride[axis] * w.extent[axis];
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

struct Labels {
  std::int32_t* out;
  std::int32_t* room() const { return out; }
  void filled(std::int64_t count) { out += count; }
};

struct OneHot {
  float* out;
  std::int64_t classes;
  std::array<std::int32_t, kBlock> numbers;
  std::int32_t* room() { return numbers.data(); }
  void filled(std::int64_t count) {
    std::fill(out, out + count * classes, 0.0F);
    for (std::int64_t i = 0; i < count; ++i, out += classes)
      out[numbers[static_cast<std::size_t>(i)]] = 1;
  }
};

template <class Apply>
struct Floats {
  float* out;
  Apply apply;
  float* room() const { return out; }
  void filled(std::int64_t count) {
    apply(out, count);
    out += count;
  }
};

// log(1 + x) = log u + c / u, with u = 1 + x as it is rounded and c what that has lost. log u = e
// log 2 + 2 atanh(f / (2 + f)), with 1 + f the mantissa of u in [sqrt(1/2), sqrt(2)); the first
// omitted term of atanh's series is below 1e-10 of the sum. Without a branch, for the vectoriser.
inline double log_1_plus_wide(double x) {
  constexpr double kLog2 = 0.693147180559945309417232121458;
  constexpr std::uint64_t kSqrtHalf = 0x3FE6A09E667F3BCD, kOne = 0x3FF0000000000000;
  constexpr std::uint64_t kMantissa = 0x000FFFFFFFFFFFFF, kNan = 0x7FF8000000000000;
  const double u = 1 + x;
  const auto bits = std::bit_cast<std::uint64_t>(u);
  // The mantissa's range begins at sqrt(1/2): the exponent is counted from there.
  const std::uint64_t shifted = bits + (kOne - kSqrtHalf);
  // A small integer becomes a double by the bits of 2^52, without a conversion.
  const double e = std::bit_cast<double>(shifted >> 52 | 0x4330000000000000) - (0x1p52 + 1023);
  const double f = std::bit_cast<double>((shifted & kMantissa) + kSqrtHalf) - 1;
  const double s = f / (2 + f), s2 = s * s;
  const double series =
      1 + s2 * (1.0 / 3 + s2 * (1.0 / 5 + s2 * (1.0 / 7 + s2 * (1.0 / 9 + s2 * (1.0 / 11)))));
  const double y = e * kLog2 + (2 * s * series + (x - (u - 1)) / u);
  const std::uint64_t negative = -(bits >> 63);  // all ones for u < 0
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(y) | (negative & kNan));
}

}  // namespace

float log_1_plus(float x) { return static_cast<float>(log_1_plus_wide(x)); }

Conversion::Conversion(const Field& field, Arithmetic arithmetic)
    : dtype_(field.dtype),
      sample_bytes_(field.sample_bytes()),
      stored_elements_(field.sample.elements()),
      classes_(field.transform.one_hot),
      arrangement_(field.sample, field.transform),
      arithmetic_(std::move(arithmetic)) {
  elements_ = arrangement_.shape().elements() * std::max<std::int64_t>(classes_, 1);
  const auto channels = static_cast<std::int64_t>(arithmetic_.shift.size());
  plain_ = arrangement_.is_as_stored() && classes_ == 0 && !arithmetic_.log1p &&
           !arithmetic_.scales && channels <= 1;
  block_ = kBlock;
  if (channels <= 1) return;
  // Pieces are whole samples of channels, so that a table as long as a piece serves them all.
  block_ = channels * std::max<std::int64_t>(kBlock / channels, 1);
  for (std::vector<float>* table : {&arithmetic_.shift, &arithmetic_.factor}) {
    table->resize(static_cast<std::size_t>(block_));
    for (std::int64_t i = channels; i < block_; ++i)
      (*table)[static_cast<std::size_t>(i)] = (*table)[static_cast<std::size_t>(i - channels)];
  }
}

void Conversion::apply(float* __restrict values, std::int64_t count) const {
  const Arithmetic& a = arithmetic_;
  if (a.log1p)
    for (std::int64_t i = 0; i < count; ++i)
      values[i] = static_cast<float>(log_1_plus_wide(values[i]));
  if (a.scales)
    for (std::int64_t i = 0; i < count; ++i) values[i] = values[i] * a.scale + a.offset;
  if (a.shift.size() == 1) {
    const float shift = a.shift[0], factor = a.factor[0];
    for (std::int64_t i = 0; i < count; ++i) values[i] = (values[i] - shift) * factor;
  } else if (!a.shift.empty()) {
    const float *const shift = a.shift.data(), *const factor = a.factor.data();
    for (std::int64_t i = 0; i < count; ++i) values[i] = (values[i] - shift[i]) * factor[i];
  }
}

void Conversion::to_floats(const std::byte* samples, std::int64_t count, const Draw& draw,
                           float* out) const {
  if (plain_) {
    const bool as_is = arithmetic_.shift.empty();
    const Affine affine = as_is ? Affine{} : Affine{arithmetic_.shift[0], arithmetic_.factor[0]};
    return data::to_floats(dtype_, samples, count * stored_elements_, affine, out);
  }
  const auto apply = [this](float* values, std::int64_t n) { this->apply(values, n); };
  with_type(dtype_, [&](auto type) {
    using T = decltype(type);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::byte* const sample = samples + static_cast<std::size_t>(i) * sample_bytes_;
      const Walk walk = arrangement_.walk(draw.next(i));
      if (classes_ > 0) {
        OneHot sink;
        sink.out = out + i * elements_;
        sink.classes = classes_;
        go<T>(sample, walk, block_, sink);
      } else {
        Floats<decltype(apply)> sink{out + i * elements_, apply};
        go<T>(sample, walk, block_, sink);
      }
    }
  });
}

void Conversion::to_labels(const std::byte* samples, std::int64_t count, const Draw& draw,
                           std::int32_t* out) const {
  if (arrangement_.is_as_stored())
    return data::to_labels(dtype_, samples, count * stored_elements_, out);
  with_type(dtype_, [&](auto type) {
    for (std::int64_t i = 0; i < count; ++i) {
      Labels sink{out + i * elements_};
      go<decltype(type)>(samples + static_cast<std::size_t>(i) * sample_bytes_,
                         arrangement_.walk(draw.next(i)), block_, sink);
    }
  });
}

}  // namespace lockstep::data
