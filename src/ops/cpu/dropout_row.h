// Dropout of a part of a row, for loops that fuse it: the numbers of the Dropout op. Included in
// *.inl files only.
#pragma once
#include "ops/cpu/kernels.h"
#include "ops/cpu/philox_lanes.h"

namespace lockstep::ops {
namespace {

// Multiplies by 0 or the scale, as dropout_loop does; a row's numbers begin anywhere in their block
// of 4, so whole blocks are drawn first.
struct DropoutRow {
  alignas(64) float words[64 + 16];  // of any 32 bits
  int shift;

  // Of up to 61 elements from `first` on.
  LOCKSTEP_INLINE void draw(const DropoutStream& s, std::int64_t first) {
    alignas(64) std::uint32_t order[16];
    for (std::uint32_t k = 0; k < 4; ++k) {
      for (std::uint32_t j = 0; j < 4; ++j) order[4 * k + j] = 4 * j + k;
    }
    const auto word = [&s](int i) { return splat_int(static_cast<std::int32_t>(s.counter[i])); };
    const I block = splat_int(static_cast<std::int32_t>(first / 4));
    I drawn[4];
    philox_64(load_int(order) + word(0) + block, word(1), word(2), word(3), s.key, drawn);
    for (int i = 0; i < 4; ++i) store(words + i * kWidth, from_bits(drawn[i]));
    shift = static_cast<int>(first % 4);
  }
  LOCKSTEP_INLINE V apply(V v, std::int64_t j, const DropoutStream& s) const {
    const I threshold = splat_int(static_cast<std::int32_t>(s.threshold));
    const M kept = at_least_unsigned(bits(load(words + shift + j)), threshold);
    return v * select(kept, splat(s.scale), splat(0.0f));
  }
};

}  // namespace
}  // namespace lockstep::ops
