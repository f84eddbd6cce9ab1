// How the canonical nodes of some lanes lie in a message, one row each: a single lane is narrow,
// that is bf16, where leaves are rounded to it; partial sums are fp32. Knows no addresses.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

#include "lockstep/comm/fold.h"
#include "lockstep/core/error.h"

namespace lockstep::comm {

class PieceRows {
 public:
  PieceRows() = default;
  PieceRows(const std::vector<Node>& nodes, std::int64_t lanes, LeafType leaf);

  int size() const { return static_cast<int>(narrow_.size()); }
  bool narrow(int row) const { return narrow_[row]; }
  int narrow_rows() const { return narrow_rows_; }
  std::int64_t halves() const { return halves_; }  // of a row of floats
  // Of all rows with n elements each, in floats. n is even: it ends on granules.
  std::int64_t floats(std::int64_t n) const {
    LOCKSTEP_CHECK(halves_ * n % 2 == 0, "{} elements do not end on a granule", n);
    return halves_ * n / 2;
  }
  // Element 0 of a row of n elements that follow `base`.
  float* at(float* base, int row, std::int64_t n) const { return base + begin_[row] * n / 2; }
  bool operator==(const PieceRows&) const = default;

 private:
  std::vector<bool> narrow_;
  std::vector<std::int64_t> begin_;  // in halves of a row of floats
  std::int64_t halves_ = 0;
  int narrow_rows_ = 0;
};

// A row's element e, as messages carry it, from and to fp32 numbers that are bf16 already.
inline void pack_bf16(float* row, std::int64_t e, const float* x, std::int64_t n) {
  auto* const out = reinterpret_cast<std::uint16_t*>(row) + e;
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint32_t word;
    std::memcpy(&word, x + i, sizeof word);
    out[i] = static_cast<std::uint16_t>(word >> 16);
  }
}
inline void unpack_bf16(float* x, const float* row, std::int64_t e, std::int64_t n) {
  const auto* const in = reinterpret_cast<const std::uint16_t*>(row) + e;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t word = std::uint32_t{in[i]} << 16;
    std::memcpy(x + i, &word, sizeof word);
  }
}

}  // namespace lockstep::comm
