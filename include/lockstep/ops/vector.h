// Loops over the flat buffer and other long vectors, chosen at run time by ISA. Each call covers at
// most one block (4096 elements) counted from the parameter's own start, or any fixed range that is
// a function of the model alone, so that vector tails fall at the same places on every rank.
#pragma once
#include <cstdint>

namespace lockstep::ops {

// dst = a + b. dst may be a or b.
void add(float* dst, const float* a, const float* b, std::int64_t n);
// Sum of squares of up to 4096 elements: 16 accumulators in double, then a fixed tree
// (NUMERICS.md 8). Not finite if and only if an element is not finite.
double sum_of_squares(const float* x, std::int64_t n);
// To bf16 and back: to nearest, ties to even; a NaN stays one. dst may be x.
void round_to_bf16(float* dst, const float* x, std::int64_t n);
void scale(float* x, float factor, std::int64_t n);

// Optimizer updates of one block. g is the folded sum; the gradient is g * g_scale (1 / valid
// count, times the clipping factor), rounded once. decay: decoupled for adamw and lamb, added to
// the gradient for sgd and adam (as PyTorch).
struct SgdStep {
  float lr, momentum, decay, g_scale;
  bool nesterov, first;
};
void sgd(float* p, float* momentum_buffer, const float* g, std::int64_t n, const SgdStep& s);
// bias corrections c1 = 1 - beta1^t, c2 = 1 - beta2^t are formed by the caller in double.
// In double, because 1 - beta2 is formed inside: with 0.999 rounded to fp32 it would be off by
// 5e-5.
struct AdamStep {
  double lr, beta1, beta2, epsilon, decay, g_scale, c1, c2;
  bool decoupled;
};
void adam(float* p, float* m, float* v, const float* g, std::int64_t n, const AdamStep& s);
// LAMB (You et al. 2020): first pass updates m, v and writes u = m^/(sqrt(v^)+eps) + decay * p into
// `update`; the caller forms the trust ratio from norms, then applies p -= lr * ratio * u.
void lamb_direction(float* update, const float* p, float* m, float* v, const float* g,
                    std::int64_t n, const AdamStep& s);
void axpy(float* p, const float* x, float factor, std::int64_t n);  // p += factor * x

}  // namespace lockstep::ops
