#include "lockstep/core/shape.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep {

Shape::Shape(std::span<const std::int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  LOCKSTEP_CHECK(rank_ <= kMaxRank, "a tensor of {} dimensions", rank_);
  std::copy(extents.begin(), extents.end(), extents_.begin());
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (std::int64_t extent : *this) product *= extent;
  return product;
}

Shape Shape::prepend(std::int64_t extent) const {
  Shape out;
  LOCKSTEP_CHECK(rank_ < kMaxRank, "too many dimensions");
  out.rank_ = rank_ + 1;
  out.extents_[0] = extent;
  std::copy(begin(), end(), out.extents_.begin() + 1);
  return out;
}

Shape Shape::append(std::int64_t extent) const {
  Shape out = *this;
  LOCKSTEP_CHECK(rank_ < kMaxRank, "too many dimensions");
  out.extents_[out.rank_++] = extent;
  return out;
}

Shape Shape::drop_first() const {
  LOCKSTEP_CHECK(rank_ > 0, "a scalar has no first dimension");
  return Shape(std::span(begin() + 1, end()));
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
}

std::string Shape::text() const {
  return rank_ == 0 ? "scalar" : fmt::format("{}", fmt::join(begin(), end(), "x"));
}

}  // namespace lockstep
