// Activations and their derivatives, one pass each: 8 bytes an element forward, 12 backward.
#include "ops/cpu/activation_math.h"
#include "ops/cpu/kernels.h"

namespace lockstep::ops {
namespace {

template <class A>
void activation_forward(float* y, const float* x, std::int64_t n, float slope) {
  const V s = splat(slope);
  for_vectors(
      n, [=](std::int64_t i, auto lanes) { store(y + i, A::value(load(x + i, lanes), s), lanes); });
}

template <class A>
void activation_backward(float* dx, const float* dy, const float* from, std::int64_t n,
                         float slope) {
  const V s = splat(slope);
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    store(dx + i, A::gradient(load(dy + i, lanes), load(from + i, lanes), s), lanes);
  });
}

template <class A>
constexpr Kernels::ActivationLoops kActivationLoops = {activation_forward<A>,
                                                       activation_backward<A>};

void add_relu_loop(float* dst, const float* a, const float* b, std::int64_t n) {
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    store(dst + i, relu(load(a + i, lanes) + load(b + i, lanes)), lanes);
  });
}

}  // namespace
}  // namespace lockstep::ops
