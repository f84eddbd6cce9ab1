#include "lockstep/ops/vector.h"

#include "ops/cpu/kernels.h"

namespace lockstep::ops {

void add(float* dst, const float* a, const float* b, std::int64_t n) {
  kernels().add(dst, a, b, n);
}

double sum_of_squares(const float* x, std::int64_t n) { return kernels().sum_of_squares(x, n); }

void round_to_bf16(float* dst, const float* x, std::int64_t n) {
  kernels().round_to_bf16(dst, x, n);
}

void scale(float* x, float factor, std::int64_t n) { kernels().scale(x, factor, n); }

void axpy(float* p, const float* x, float factor, std::int64_t n) {
  kernels().axpy(p, x, factor, n);
}

void sgd(float* p, float* momentum_buffer, const float* g, std::int64_t n, const SgdStep& s) {
  kernels().sgd(p, momentum_buffer, g, n, s);
}

void adam(float* p, float* m, float* v, const float* g, std::int64_t n, const AdamStep& s) {
  kernels().adam(p, m, v, g, n, s);
}

void lamb_direction(float* update, const float* p, float* m, float* v, const float* g,
                    std::int64_t n, const AdamStep& s) {
  kernels().lamb_direction(update, p, m, v, g, n, s);
}

}  // namespace lockstep::ops
