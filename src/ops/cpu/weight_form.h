// How one primitive wants its weights: as they lie in the flat buffer, or packed into a part of the
// op's packed area once a step. Knows layouts, never which op they serve.
#pragma once
#include "ops/cpu/onednn.h"

namespace lockstep::ops {

class WeightForm {
 public:
  WeightForm() = default;
  // flat: the layout in the flat buffer; wanted: the primitive's. Takes its place in the packed
  // area at packed_bytes and moves that on.
  WeightForm(const dnnl::memory::desc& flat, const dnnl::memory::desc& wanted,
             std::size_t& packed_bytes);

  void pack(const float* weights, void* packed) const;
  const void* find(const float* weights, const void* packed) const {
    return kind_ == Kind::kFlat ? static_cast<const void*>(weights)
                                : static_cast<const std::byte*>(packed) + begin_;
  }

 private:
  enum class Kind { kFlat, kPanels, kReorder };
  Kind kind_ = Kind::kFlat;
  std::size_t begin_ = 0, scratch_begin_ = 0;  // bytes in the packed area
  std::int64_t out_ = 0, in_ = 0, width_ = 0, depth_ = 0;
  Primitive reorder_;
};

}  // namespace lockstep::ops
