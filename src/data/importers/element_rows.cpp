#include "element_rows.h"

#include <algorithm>
#include <cstring>

#include "../codec.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::uint64_t kGroupBytes = 1 << 20;  // rows that are read by one call
constexpr std::uint64_t kGapBytes = 64 << 10;   // unwanted bytes that cost less than a call
constexpr std::int64_t kBandBytes = 32 << 20;   // of a column-major file, so that runs are long

}  // namespace

ElementRows::ElementRows(std::shared_ptr<PositionedBytes> bytes, const ElementLayout& layout)
    : bytes_(std::move(bytes)),
      layout_(layout),
      row_bytes_(static_cast<std::size_t>(layout.sample.elements()) * size_of(layout.dtype)) {
  if (layout_.stride == 0) layout_.stride = row_bytes_;
  const auto size = bytes_->size();
  if (!size) return;
  const auto wanted =
      static_cast<unsigned __int128>(layout_.stride) * static_cast<std::uint64_t>(layout_.rows) +
      layout_.begin;
  if (wanted > *size)
    cut_short(static_cast<std::int64_t>((*size - std::min(*size, layout_.begin)) / layout_.stride));
  if (wanted < *size)
    throw DataError("{} has more bytes than the {} rows of its header; get the file again", name(),
                    layout_.rows);
}

void ElementRows::cut_short(std::int64_t row) const {
  throw DataError("{} ends in row {} of {}; get the file again", name(), row, layout_.rows);
}

void ElementRows::read_exactly(std::uint64_t offset, std::byte* out, std::size_t bytes,
                               std::int64_t row) {
  const std::size_t n = bytes_->read_at(offset, out, bytes);
  if (n < bytes) cut_short(row + static_cast<std::int64_t>(n / layout_.stride));
}

void ElementRows::read(std::span<const std::int64_t> rows, std::byte* out) {
  if (layout_.column_major) {
    read_columns(rows, out);
  } else {
    const auto at = [&](std::size_t i) {
      return layout_.stride * static_cast<std::uint64_t>(rows[i]);
    };
    for (std::size_t begin = 0; begin < rows.size();) {
      std::size_t end = begin + 1;
      while (end < rows.size() && at(end) + row_bytes_ - at(begin) <= kGroupBytes &&
             at(end) - at(end - 1) - row_bytes_ <= kGapBytes)
        ++end;
      read_group(rows.subspan(begin, end - begin), out + begin * row_bytes_);
      begin = end;
    }
  }
  if (layout_.big_endian) swap_bytes({out, rows.size() * row_bytes_}, size_of(layout_.dtype));
  if (!rows.empty() && rows.back() + 1 == layout_.rows) check_end();
}

void ElementRows::read_group(std::span<const std::int64_t> rows, std::byte* out) {
  const std::uint64_t first = static_cast<std::uint64_t>(rows.front()) * layout_.stride,
                      last = static_cast<std::uint64_t>(rows.back()) * layout_.stride;
  const auto bytes = static_cast<std::size_t>(last - first + row_bytes_);
  if (bytes == rows.size() * row_bytes_) {  // nothing between them
    read_exactly(layout_.begin + first, out, bytes, rows.front());
    return;
  }
  buffer_.resize(bytes);
  read_exactly(layout_.begin + first, buffer_.data(), bytes, rows.front());
  for (const std::int64_t row : rows) {
    std::memcpy(out, buffer_.data() + static_cast<std::uint64_t>(row) * layout_.stride - first,
                row_bytes_);
    out += row_bytes_;
  }
}

// Of a packed file the end shows when it is reached.
void ElementRows::check_end() {
  if (bytes_->size()) return;
  std::byte more;
  if (bytes_->read_at(layout_.begin + layout_.stride * static_cast<std::uint64_t>(layout_.rows),
                      &more, 1) != 0)
    throw DataError("{} has more bytes than the {} rows of its header; get the file again", name(),
                    layout_.rows);
}

void ElementRows::load_band(std::int64_t row) {
  const std::size_t size = size_of(layout_.dtype);
  const auto columns = static_cast<std::size_t>(layout_.sample.elements());
  band_ = row;
  band_rows_ = std::clamp<std::int64_t>(kBandBytes / static_cast<std::int64_t>(row_bytes_), 1,
                                        layout_.rows - row);
  const std::size_t run = static_cast<std::size_t>(band_rows_) * size;
  buffer_.resize(run * columns);
  for (std::size_t c = 0; c < columns; ++c) {
    const std::uint64_t element =
        c * static_cast<std::uint64_t>(layout_.rows) + static_cast<std::uint64_t>(row);
    read_exactly(layout_.begin + element * size, buffer_.data() + c * run, run, row);
  }
}

void ElementRows::read_columns(std::span<const std::int64_t> rows, std::byte* out) {
  const std::size_t size = size_of(layout_.dtype);
  const Shape& sample = layout_.sample;
  // The place of each element of a row among the file's columns, whose first index runs fastest.
  std::vector<std::size_t> columns(static_cast<std::size_t>(sample.elements()));
  for (std::size_t e = 0; e < columns.size(); ++e) {
    std::int64_t rest = static_cast<std::int64_t>(e), place = 0;
    for (int d = sample.rank(); d-- > 0;) {
      std::int64_t weight = 1;
      for (int before = 0; before < d; ++before) weight *= sample[before];
      place += rest % sample[d] * weight;
      rest /= sample[d];
    }
    columns[e] = static_cast<std::size_t>(place);
  }
  for (const std::int64_t row : rows) {
    if (row < band_ || row >= band_ + band_rows_) load_band(row);
    const auto at = static_cast<std::size_t>(row - band_);
    for (const std::size_t column : columns) {
      std::memcpy(out, buffer_.data() + (column * static_cast<std::size_t>(band_rows_) + at) * size,
                  size);
      out += size;
    }
  }
}

}  // namespace lockstep::data
