// What precedes the gradients of a linear layer, in one pass over d_output: 12 bytes an element
// with an activation, 8 with dropout alone, 4 for the bias alone.
#include "ops/cpu/activation_math.h"
#include "ops/cpu/dense_kernels.h"
#include "ops/cpu/dropout_row.h"

namespace lockstep::ops {
namespace {

constexpr std::int64_t kDrawn = 48;  // columns for which 64 numbers are drawn at once

template <class A, bool drop>
LOCKSTEP_INLINE void linear_gradient_row(const LinearGradient& g, std::int64_t at,
                                         std::int64_t column, std::int64_t columns) {
  DropoutRow dropout;
  if constexpr (drop) dropout.draw(g.stream, at);
  for_vectors(columns, [&](std::int64_t j, auto lanes) {
    V d = load(g.d_output + at + j, lanes);
    if constexpr (drop) d = dropout.apply(d, j, g.stream);
    if (g.from != nullptr) d = A::gradient(d, load(g.from + at + j, lanes), splat(0.0f));
    if (g.to != nullptr) store(g.to + at + j, d, lanes);
    float* const sum = g.band + column + j;
    if (g.band != nullptr) store(sum, load(sum, lanes) + d, lanes);
  });
}

template <class A, bool drop>
void linear_gradient_rows(const LinearGradient& g) {
  constexpr std::int64_t kBandRows = 32;  // short enough for fp32
  const std::int64_t n = g.columns;
  if (g.band != nullptr) {
    for_vectors(n, [&](std::int64_t c, auto) { store(g.sums + c, splat_double(0)); });
    for_vectors(n, [&](std::int64_t c, auto lanes) { store(g.band + c, splat(0.0f), lanes); });
  }
  for (std::int64_t row = 0; row < g.rows; ++row) {
    const std::int64_t step = drop ? kDrawn : n;
    for (std::int64_t c = 0; c < n; c += step) {
      linear_gradient_row<A, drop>(g, row * n + c, c, step < n - c ? step : n - c);
    }
    if (g.band != nullptr && ((row + 1) % kBandRows == 0 || row + 1 == g.rows)) {
      for_vectors(n, [&](std::int64_t c, auto lanes) {
        store(g.sums + c, load(g.sums + c) + to_double(load(g.band + c, lanes)));
        store(g.band + c, splat(0.0f), lanes);
      });
    }
  }
  if (g.band == nullptr) return;
  for_vectors(n, [&](std::int64_t c, auto lanes) {
    store(g.d_bias + c, to_float(load(g.sums + c)), lanes);
  });
}

template <class A>
void linear_gradient_of(const LinearGradient& g) {
  g.drop ? linear_gradient_rows<A, true>(g) : linear_gradient_rows<A, false>(g);
}

void linear_gradient_loop(const LinearGradient& g) {
  // By enum Activation; what Linear does not fuse is null.
  constexpr void (*kBy[8])(const LinearGradient&) = {linear_gradient_of<Identity>,
                                                     linear_gradient_of<Relu>,
                                                     nullptr,
                                                     linear_gradient_of<Gelu>,
                                                     linear_gradient_of<GeluTanh>,
                                                     linear_gradient_of<Silu>,
                                                     nullptr,
                                                     nullptr};
  kBy[g.activation](g);
}

}  // namespace
}  // namespace lockstep::ops
