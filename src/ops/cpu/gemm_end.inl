// What follows the last product of a tile of C, while it lies in the first-level cache.
#include "ops/cpu/activation_math.h"
#include "ops/cpu/dropout_row.h"
#include "ops/cpu/gemm_kernels.h"

namespace lockstep::ops {
namespace {

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
