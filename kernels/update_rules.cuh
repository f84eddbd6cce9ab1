// What the update kernels share: packs of up to four elements, the numbers of a rule rounded as the
// CPU rounds them, and how a weight is written.
#pragma once
#include <cmath>

#include "kernels/common.cuh"
#include "kernels/philox.cuh"
#include "kernels/update.h"

namespace lockstep::kernels {

using Four = Pack16<float>;

// The first n of four elements; the rest are +0.
__device__ inline Four load_four(const float* from, int n, bool aligned = true) {
  if (n == 4 && aligned) return load<Four>(from);
  Four x{};
#pragma unroll
  for (int k = 0; k < 4; ++k)
    if (k < n) x.at[k] = from[k];
  return x;
}
__device__ inline void store_four(float* to, const Four& x, int n) {
  if (n == 4) return store(to, x);
#pragma unroll
  for (int k = 0; k < 4; ++k)
    if (k < n) to[k] = x.at[k];
}
__device__ inline bool on_16_bytes(const void* p) {
  return (reinterpret_cast<std::uintptr_t>(p) & 15) == 0;
}

// One block of the table as a thread block sees it.
struct BlockView {
  int number, elements;
  std::int64_t begin;    // in the flat buffer
  std::int64_t element;  // in the parameter
  int parameter;
  ParameterKind kind;
};
__device__ inline BlockView view_of(const DeviceTable& table, int number) {
  const Block block = table.blocks[number];
  const ParameterEntry entry = table.parameters[block.parameter];
  return {number,          static_cast<int>(block.elements),
          block.begin,     (number - entry.first_block) * kBlock,
          block.parameter, static_cast<ParameterKind>(entry.kind)};
}

// Four elements from `element` on, a multiple of 4 rounded down. Named as the numbers of an op,
// with the parameter in the op's place and a lane and microbatch that no run has.
__device__ inline uint4 rounding_words(const UpdateArgs& a, int parameter, std::int64_t element) {
  const auto number = static_cast<std::uint32_t>(parameter);
  const RandomKey key{a.seed, a.step, 0xFF0000u | number >> 16, 0};
  return random_words(key, number, static_cast<std::uint64_t>(element) / 4);
}

// The upper half of x, or the next bf16 away from zero with the probability of what is cut off.
__device__ inline std::uint16_t round_by_chance(float x, unsigned word) {
  const unsigned bits = __float_as_uint(x);
  if ((bits & 0x7F800000u) == 0x7F800000u)  // infinity, NaN
    return __bfloat16_as_ushort(__float2bfloat16_rn(x));
  return static_cast<std::uint16_t>((bits + (word & 0xFFFFu)) >> 16);
}

// Elements [i, i + n) of a block, i a multiple of 4.
__device__ inline void write_weights(const UpdateArgs& a, const BlockView& block, int i, int n,
                                     const Four& x) {
  store_four(a.parameters + block.begin + i, x, n);
  if (a.bf16 == nullptr) return;
  Pack<std::uint16_t, 4> halves;
  if (a.stochastic) {
    const uint4 words = rounding_words(a, block.parameter, block.element + i);
    const unsigned word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int k = 0; k < 4; ++k) halves.at[k] = round_by_chance(x.at[k], word[k]);
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k) halves.at[k] = __bfloat16_as_ushort(__float2bfloat16_rn(x.at[k]));
  }
  std::uint16_t* const to = a.bf16 + block.begin + i;
  if (n == 4) return store(to, halves);
#pragma unroll
  for (int k = 0; k < 4; ++k)
    if (k < n) to[k] = halves.at[k];
}

// Exponential move of running statistics towards the mean over lanes, in double.
__device__ inline void move_statistics(const UpdateArgs& a, const BlockView& block, const float* g,
                                       int i) {
  constexpr double kMomentum = 0.1;  // as optim::Optimizer
  float* const p = a.parameters + block.begin + i;
  const double mean = __dmul_rn(g[i], a.statistics_scale);
  *p = static_cast<float>(__dadd_rn(__dmul_rn(1 - kMomentum, *p), __dmul_rn(kMomentum, mean)));
}

// What an Adam step multiplies by, rounded once from double (ops::adam).
struct AdamFactors {
  float beta1, rest1, beta2, rest2, epsilon, g_scale, coupled_decay, root_c2_inverse;
  AdamFactors(const AdamRule& s, double scale)
      : beta1(static_cast<float>(s.beta1)),
        rest1(static_cast<float>(1 - s.beta1)),
        beta2(static_cast<float>(s.beta2)),
        rest2(static_cast<float>(1 - s.beta2)),
        epsilon(static_cast<float>(s.epsilon)),
        g_scale(static_cast<float>(scale)),
        coupled_decay(s.decoupled ? 0.0f : static_cast<float>(s.decay)),
        root_c2_inverse(static_cast<float>(1 / std::sqrt(s.c2))) {}

  // Moves the moments of one weight x by its gradient g.
  __device__ void move(float x, float g, bool decays, float& m, float& v) const {
    const float gradient = fmaf(decays ? coupled_decay : 0.0f, x, __fmul_rn(g, g_scale));
    m = fmaf(beta1, m, __fmul_rn(rest1, gradient));
    v = fmaf(beta2, v, __fmul_rn(__fmul_rn(rest2, gradient), gradient));
  }
  __device__ float direction(float m, float v) const {
    return __fdiv_rn(m, fmaf(__fsqrt_rn(v), root_c2_inverse, epsilon));
  }
};

}  // namespace lockstep::kernels
