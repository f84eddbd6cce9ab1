#include "kernels/launch.h"
#include "kernels/update_rules.cuh"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 256;  // a block of the table is four packs a thread

template <bool momentum, bool nesterov>
struct Sgd {
  float minus_lr, mu, decay, g_scale;
  bool first;
  float* buffer;

  __device__ Four operator()(Four x, const Four& g, const BlockView& block, int i, int n) const {
    const float lambda = block.kind == ParameterKind::kWeight ? decay : 0.0f;
    Four kept{};
    if (momentum && !first) kept = load_four(buffer + block.begin + i, n);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      float direction = fmaf(lambda, x.at[k], __fmul_rn(g.at[k], g_scale));
      if constexpr (momentum) {
        kept.at[k] = first ? direction : fmaf(mu, kept.at[k], direction);
        direction = nesterov ? fmaf(mu, kept.at[k], direction) : kept.at[k];
      }
      x.at[k] = fmaf(minus_lr, direction, x.at[k]);
    }
    if constexpr (momentum) store_four(buffer + block.begin + i, kept, n);
    return x;
  }
};

struct Adam {
  AdamFactors factors;
  float keep, minus_step;
  float *m, *v;

  __device__ Four operator()(Four x, const Four& g, const BlockView& block, int i, int n) const {
    const bool decays = block.kind == ParameterKind::kWeight;
    Four first = load_four(m + block.begin + i, n), second = load_four(v + block.begin + i, n);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      factors.move(x.at[k], g.at[k], decays, first.at[k], second.at[k]);
      const float direction = factors.direction(first.at[k], second.at[k]);
      x.at[k] = fmaf(minus_step, direction, __fmul_rn(x.at[k], decays ? keep : 1.0f));
    }
    store_four(m + block.begin + i, first, n);
    store_four(v + block.begin + i, second, n);
    return x;
  }
};

// A thread block for a block of the table.
template <class Rule>
__global__ void __launch_bounds__(kThreads) update_kernel(UpdateArgs a, Rule rule) {
  const BlockView block = view_of(a.table, a.range.first + static_cast<int>(blockIdx.x));
  const float* const g = a.gradients[block.number];
  if (block.kind == ParameterKind::kStatistic) {
    for (int i = threadIdx.x; i < block.elements; i += kThreads) move_statistics(a, block, g, i);
    return;
  }
  const bool aligned = on_16_bytes(g);
  for (int i = 4 * threadIdx.x; i < block.elements; i += 4 * kThreads) {
    const int n = min(4, block.elements - i);
    const Four x = load_four(a.parameters + block.begin + i, n);
    write_weights(a, block, i, n, rule(x, load_four(g + i, n, aligned), block, i, n));
  }
}

// One thread for a block of the table, element after element.
template <class Rule>
__global__ void update_naive(UpdateArgs a, Rule rule) {
  const BlockView block = view_of(a.table, a.range.first + static_cast<int>(blockIdx.x));
  const float* const g = a.gradients[block.number];
  for (int i = 0; i < block.elements; ++i) {
    if (block.kind == ParameterKind::kStatistic) {
      move_statistics(a, block, g, i);
      continue;
    }
    BlockView one = block;
    one.begin += i, one.element += i;
    const Four x = load_four(a.parameters + one.begin, 1);
    const Four y = rule(x, load_four(g + i, 1), one, 0, 1);
    a.parameters[one.begin] = y.at[0];
    if (a.bf16 == nullptr) continue;
    const uint4 words = rounding_words(a, one.parameter, one.element);
    const unsigned word[4] = {words.x, words.y, words.z, words.w};
    a.bf16[one.begin] = a.stochastic ? round_by_chance(y.at[0], word[one.element % 4])
                                     : __bfloat16_as_ushort(__float2bfloat16_rn(y.at[0]));
  }
}

template <class Rule>
void update(const UpdateArgs& a, const Rule& rule, cudaStream_t stream, const char* name) {
  if (a.range.count == 0) return;
  update_kernel<<<a.range.count, kThreads, 0, stream>>>(a, rule);
  check_launch(name);
}
template <class Rule>
void update_plainly(const UpdateArgs& a, const Rule& rule, cudaStream_t stream, const char* name) {
  if (a.range.count == 0) return;
  update_naive<<<a.range.count, 1, 0, stream>>>(a, rule);
  check_launch(name);
}

template <bool momentum, bool nesterov>
Sgd<momentum, nesterov> sgd_of(const UpdateArgs& a, const SgdRule& s, float* buffer) {
  return {-static_cast<float>(s.lr),
          static_cast<float>(s.momentum),
          static_cast<float>(s.decay),
          static_cast<float>(a.g_scale),
          s.first,
          buffer};
}
Adam adam_of(const UpdateArgs& a, const AdamRule& s, float* m, float* v) {
  return {AdamFactors(s, a.g_scale), s.decoupled ? static_cast<float>(1 - s.lr * s.decay) : 1.0f,
          static_cast<float>(-s.lr / s.c1), m, v};
}

}  // namespace

void sgd(const UpdateArgs& a, const SgdRule& s, float* momentum, cudaStream_t stream) {
  if (s.momentum == 0) return update(a, sgd_of<false, false>(a, s, nullptr), stream, "sgd");
  if (s.nesterov) return update(a, sgd_of<true, true>(a, s, momentum), stream, "sgd");
  update(a, sgd_of<true, false>(a, s, momentum), stream, "sgd");
}

void sgd_reference(const UpdateArgs& a, const SgdRule& s, float* momentum, cudaStream_t stream) {
  const char* const name = "sgd_reference";
  if (s.momentum == 0) return update_plainly(a, sgd_of<false, false>(a, s, nullptr), stream, name);
  if (s.nesterov) return update_plainly(a, sgd_of<true, true>(a, s, momentum), stream, name);
  update_plainly(a, sgd_of<true, false>(a, s, momentum), stream, name);
}

void adam(const UpdateArgs& a, const AdamRule& s, float* m, float* v, cudaStream_t stream) {
  update(a, adam_of(a, s, m, v), stream, "adam");
}

void adam_reference(const UpdateArgs& a, const AdamRule& s, float* m, float* v,
                    cudaStream_t stream) {
  update_plainly(a, adam_of(a, s, m, v), stream, "adam_reference");
}

}  // namespace lockstep::kernels
