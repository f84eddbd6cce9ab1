// The loops of lockstep/ops/vector.h. Each is one pass: adam reads p, g, m, v and writes p, m, v,
// 28 bytes an element, which is what limits it.

namespace lockstep::ops {
namespace {

void add_loop(float* dst, const float* a, const float* b, std::int64_t n) {
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    store(dst + i, load(a + i, lanes) + load(b + i, lanes), lanes);
  });
}

// The squares are exact in double, so that every form gives the same bits.
double sum_of_squares_loop(const float* x, std::int64_t n) {
  D total = splat_double(0);
  for_vectors(n, [&](std::int64_t i, auto lanes) {
    const D wide = to_double(load(x + i, lanes));
    total = fma(wide, wide, total);
  });
  return sum(total);
}

// A NaN whose set bits all lie in the lower half would become infinite without its quiet bit.
void round_to_bf16_loop(float* dst, const float* x, std::int64_t n) {
  const I upper = splat_int(static_cast<std::int32_t>(0xffff0000));
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    const V v = load(x + i, lanes);
    const I word = bits(v);
    const I odd = shift_right<16>(word) & splat_int(1);
    const I rounded = (word + splat_int(0x7fff) + odd) & upper;
    const I quiet = (word | splat_int(0x400000)) & upper;
    store(dst + i, select(v == v, from_bits(rounded), from_bits(quiet)), lanes);
  });
}

void scale_loop(float* x, float factor, std::int64_t n) {
  const V f = splat(factor);
  for_vectors(n, [=](std::int64_t i, auto lanes) { store(x + i, load(x + i, lanes) * f, lanes); });
}

void axpy_loop(float* p, const float* x, float factor, std::int64_t n) {
  const V f = splat(factor);
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    store(p + i, fma(f, load(x + i, lanes), load(p + i, lanes)), lanes);
  });
}

template <bool momentum, bool nesterov>
void sgd_pass(float* p, float* buffer, const float* g, std::int64_t n, const SgdStep& s) {
  const V g_scale = splat(s.g_scale), decay = splat(s.decay), minus_lr = splat(-s.lr);
  // The first step's buffer is the gradient, whatever the memory holds (0 * NaN would stay NaN).
  const V mu = splat(s.momentum);
  const bool first = s.first;
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    const V x = load(p + i, lanes);
    V direction = fma(decay, x, load(g + i, lanes) * g_scale);
    if constexpr (momentum) {
      const V kept = first ? direction : fma(mu, load(buffer + i, lanes), direction);
      store(buffer + i, kept, lanes);
      direction = nesterov ? fma(mu, kept, direction) : kept;
    }
    store(p + i, fma(minus_lr, direction, x), lanes);
  });
}

void sgd_loop(float* p, float* buffer, const float* g, std::int64_t n, const SgdStep& s) {
  if (s.momentum == 0) return sgd_pass<false, false>(p, buffer, g, n, s);
  if (s.nesterov) return sgd_pass<true, true>(p, buffer, g, n, s);
  sgd_pass<true, false>(p, buffer, g, n, s);
}

// What an Adam step multiplies by, rounded once from double.
struct AdamFactors {
  V beta1, rest1, beta2, rest2, epsilon, g_scale, coupled_decay, root_c2_inverse;
  explicit AdamFactors(const AdamStep& s)
      : beta1(splat(static_cast<float>(s.beta1))),
        rest1(splat(static_cast<float>(1 - s.beta1))),
        beta2(splat(static_cast<float>(s.beta2))),
        rest2(splat(static_cast<float>(1 - s.beta2))),
        epsilon(splat(static_cast<float>(s.epsilon))),
        g_scale(splat(static_cast<float>(s.g_scale))),
        coupled_decay(splat(s.decoupled ? 0.0f : static_cast<float>(s.decay))),
        root_c2_inverse(splat(static_cast<float>(1 / __builtin_sqrt(s.c2)))) {}
};

// Moves the moments by one gradient and returns m / (sqrt(v / c2) + epsilon).
template <class Lanes>
LOCKSTEP_INLINE V moments(const AdamFactors& f, V x, float* m, float* v, const float* g,
                          Lanes lanes) {
  const V gradient = fma(f.coupled_decay, x, load(g, lanes) * f.g_scale);
  const V first = fma(f.beta1, load(m, lanes), f.rest1 * gradient);
  const V second = fma(f.beta2, load(v, lanes), f.rest2 * gradient * gradient);
  store(m, first, lanes);
  store(v, second, lanes);
  return first / fma(sqrt(second), f.root_c2_inverse, f.epsilon);
}

// Kingma & Ba 2015; decoupled: Loshchilov & Hutter 2019.
void adam_loop(float* p, float* m, float* v, const float* g, std::int64_t n, const AdamStep& s) {
  const AdamFactors f(s);
  const V keep = splat(s.decoupled ? static_cast<float>(1 - s.lr * s.decay) : 1.0f);
  const V minus_step = splat(static_cast<float>(-s.lr / s.c1));
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    const V x = load(p + i, lanes);
    const V direction = moments(f, x, m + i, v + i, g + i, lanes);
    store(p + i, fma(minus_step, direction, x * keep), lanes);
  });
}

void lamb_direction_loop(float* update, const float* p, float* m, float* v, const float* g,
                         std::int64_t n, const AdamStep& s) {
  const AdamFactors f(s);
  const V decay = splat(s.decoupled ? static_cast<float>(s.decay) : 0.0f);
  const V c1_inverse = splat(static_cast<float>(1 / s.c1));
  for_vectors(n, [=](std::int64_t i, auto lanes) {
    const V x = load(p + i, lanes);
    const V direction = moments(f, x, m + i, v + i, g + i, lanes);
    store(update + i, fma(c1_inverse, direction, decay * x), lanes);
  });
}

}  // namespace
}  // namespace lockstep::ops
