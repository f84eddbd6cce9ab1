// A pool's description as its loops and kernels take it: always three spatial dimensions, outermost
// first, the missing ones of extent 1.
#pragma once
#include <cstddef>
#include <type_traits>

#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"

namespace lockstep::ops {

// Winners of max pooling are numbered in window order: a byte each where that is enough.
inline std::size_t winner_bytes(const Pool& p) {
  std::int64_t window = 1;
  for (const std::int64_t k : p.kernel) window *= k;
  return window <= 256 ? 1 : 4;
}

// Throws UserError if the slope is below 0: the maximum of leaky relus would be another.
template <class Geometry>
Geometry geometry_of(const Pool& p) {
  Geometry g;
  using Extent = std::remove_all_extents_t<decltype(g.in)>;
  const Shape out = output_shape(p);
  const int rank = static_cast<int>(p.kernel.size());
  g.samples = static_cast<Extent>(p.input[0]);
  g.channels = static_cast<Extent>(p.input[-1]);
  g.leaky = p.activation == Activation::kLeakyRelu;
  g.slope = p.slope;
  for (int i = 0; i < rank; ++i) {
    const int d = 3 - rank + i;
    g.in[d] = static_cast<Extent>(p.input[i + 1]);
    g.out[d] = static_cast<Extent>(out[i + 1]);
    g.kernel[d] = static_cast<Extent>(p.kernel[i]);
    g.stride[d] = static_cast<Extent>(p.stride[i]);
    g.padding[d] = static_cast<Extent>(p.padding[i]);
  }
  LOCKSTEP_CHECK(p.activation == Activation::kNone || (g.leaky && p.kind == PoolKind::kMax));
  if (g.leaky && !(p.slope >= 0)) {
    throw UserError("leaky_relu has slope {}; it must be 0 or more", p.slope);
  }
  return g;
}

}  // namespace lockstep::ops
