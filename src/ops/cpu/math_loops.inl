// y = f(x) over a vector, for ops that need no more than the function and for its tests.
#include "ops/cpu/simd_math.h"

namespace lockstep::ops {
namespace {

template <class F>
LOCKSTEP_INLINE void map(float* y, const float* x, std::int64_t n, F f) {
  for_vectors(n, [=](std::int64_t i, auto lanes) { store(y + i, f(load(x + i, lanes)), lanes); });
}

void exp_loop(float* y, const float* x, std::int64_t n) {
  map(y, x, n, [](V v) { return exp(v); });
}
void log_loop(float* y, const float* x, std::int64_t n) {
  map(y, x, n, [](V v) { return log(v); });
}
void tanh_loop(float* y, const float* x, std::int64_t n) {
  map(y, x, n, [](V v) { return tanh(v); });
}
void sigmoid_loop(float* y, const float* x, std::int64_t n) {
  map(y, x, n, [](V v) { return sigmoid(v); });
}

}  // namespace
}  // namespace lockstep::ops
