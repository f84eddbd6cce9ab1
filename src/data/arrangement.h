// Where the elements of a transformed sample lie in the stored one: axes, crop and flip as a walk
// with strides. Knows no element type.
#pragma once
#include <array>
#include <cstdint>

#include "draw.h"
#include "lockstep/core/shape.h"
#include "lockstep/data/transform.h"

namespace lockstep::data {

// Axes of a walk, outermost first; those whose elements lie together are one.
struct Walk {
  std::int64_t start = 0;  // the first element
  int rank = 0;
  std::array<std::int64_t, Shape::kMaxRank> extent{}, stride{};
};

class Arrangement {
 public:
  Arrangement() = default;
  // Of a transform that fits the shape.
  Arrangement(const Shape& stored, const Transform& transform);
  const Shape& shape() const { return cut_; }
  bool is_as_stored() const { return as_stored_; }
  Walk walk(const Draw& draw) const;

 private:
  Shape whole_, cut_;  // after axes; after the crop too
  std::array<std::int64_t, Shape::kMaxRank> stride_{};
  std::array<bool, Shape::kMaxRank> flipped_{};  // for every other sample
  bool crop_random_ = false, as_stored_ = true;
};

}  // namespace lockstep::data
