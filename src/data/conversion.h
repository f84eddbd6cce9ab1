// From a stored sample to what the model reads: rearranged, as numbers or classes, scaled and
// normalised, in one pass over pieces that stay in the first cache. Knows no file and no lane, and
// allocates nothing after it was made.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "arrangement.h"
#include "draw.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

// What is done to elements that are floats by now, in this order.
struct Arithmetic {
  bool log1p = false, scales = false;
  float scale = 1, offset = 0;
  // y = (x - shift) * factor; empty: not normalised; one number, or one for each channel.
  std::vector<float> shift, factor;
};

class Conversion {
 public:
  Conversion() = default;
  // Of a field whose transform fits (check_transform()).
  Conversion(const Field& field, Arithmetic arithmetic);
  std::int64_t elements() const { return elements_; }  // of a converted sample

  // Samples that lie one behind the other; draw: of the first.
  void to_floats(const std::byte* samples, std::int64_t count, const Draw& draw, float* out) const;
  void to_labels(const std::byte* samples, std::int64_t count, const Draw& draw,
                 std::int32_t* out) const;

 private:
  void apply(float* values, std::int64_t count) const;

  DType dtype_ = DType::kF32;
  std::size_t sample_bytes_ = 0;
  std::int64_t stored_elements_ = 0, elements_ = 0, classes_ = 0, block_ = 0;
  Arrangement arrangement_;
  Arithmetic arithmetic_;  // shift and factor repeated to a block, where there are several
  bool plain_ = true;      // nothing but one shift and factor
};

// log(1 + x), within 1 unit in the last place, by the same operations on every machine; NaN unless
// -1 < x < infinity.
float log_1_plus(float x);

}  // namespace lockstep::data
