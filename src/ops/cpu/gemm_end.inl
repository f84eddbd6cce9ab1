// What follows the last product of a tile of C, while it lies in the first-level cache.
#include "ops/cpu/activation_math.h"
#include "ops/cpu/gemm_kernels.h"
#include "ops/cpu/philox_lanes.h"

namespace lockstep::ops {
namespace {

// Multiplies by 0 or the scale, as dropout_loop does; a row's numbers begin anywhere in their block
// of 4, so whole blocks are drawn first.
struct DropoutRow {
  alignas(64) std::uint32_t words[64 + 16];
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
    for (int i = 0; i < 4; ++i) {
      store(reinterpret_cast<float*>(words) + i * kWidth, from_bits(drawn[i]));
    }
    shift = static_cast<int>(first % 4);
  }
  LOCKSTEP_INLINE V apply(V v, std::int64_t j, const DropoutStream& s) const {
    const I threshold = splat_int(static_cast<std::int32_t>(s.threshold));
    const M kept = at_least_unsigned(load_int(words + shift + j), threshold);
    return v * select(kept, splat(s.scale), splat(0.0f));
  }
};

struct Identity {
  static LOCKSTEP_INLINE V value(V x, V) { return x; }
};

template <class A>
void end_tile(const GemmBlock& block, std::int64_t row, std::int64_t column, std::int64_t rows,
              std::int64_t columns) {
  const TileEnd& end = *block.end;
  DropoutRow dropout;
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t at = (row + r) * block.c_row + column;
    if (end.drop) dropout.draw(end.stream, end.first_element + at);
    for_vectors(columns, [&](std::int64_t j, auto lanes) {
      V v = load(block.c + at + j, lanes);
      if (end.bias != nullptr) v += load(end.bias + column + j, lanes);
      if (end.before != nullptr) store(end.before + at + j, v, lanes);
      v = A::value(v, splat(0.0f));
      if (end.drop) v = dropout.apply(v, j, end.stream);
      if (end.residual != nullptr) v += load(end.residual + at + j, lanes);
      store(block.c + at + j, v, lanes);
    });
  }
}

using EndTile = void (*)(const GemmBlock&, std::int64_t, std::int64_t, std::int64_t, std::int64_t);
// By enum Activation; what Linear does not fuse is null.
constexpr EndTile kEndTile[8] = {end_tile<Identity>, end_tile<Relu>, nullptr, end_tile<Gelu>,
                                 end_tile<GeluTanh>, end_tile<Silu>, nullptr, nullptr};

}  // namespace
}  // namespace lockstep::ops
