// Walks over all rows of a field, a few chunks at a time, so that memory stays small.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "row_source.h"

namespace lockstep::data {

inline constexpr std::int64_t kScanBytes = 4 << 20;

// visit(first row, rows, their elements)
template <class Visit>
void scan_rows(const Manifest& manifest, const Split& split, const Field& field,
               const Visit& visit) {
  const auto source = open_rows(manifest, split, field);
  const auto row_bytes = static_cast<std::int64_t>(field.sample_bytes());
  const std::int64_t step =
      std::clamp<std::int64_t>(kScanBytes / row_bytes, 1, std::max<std::int64_t>(field.count, 1));
  std::vector<std::byte> rows(static_cast<std::size_t>(step * row_bytes));
  KeptUnit kept;
  for (std::int64_t first = 0; first < field.count; first += step) {
    const std::int64_t count = std::min(step, field.count - first);
    source->read(first, count, rows.data(), kept);
    visit(first, count, rows.data());
  }
}

}  // namespace lockstep::data
