// Optimizer updates over the flat buffer, all parameters in one launch: the arithmetic of
// lockstep/ops/vector.h and of optim::Optimizer, bit for bit. Weights decay, kNoDecay ones do not,
// statistics move. What changes from step to step comes by value: not for captured work.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/squares.h"

namespace lockstep::kernels {

// Everything of one launch that is not a number of the rule. All memory on the device; flat buffers
// are addressed by Block::begin and start on 16 bytes.
struct UpdateArgs {
  DeviceTable table;
  BlockRange range;  // the blocks to update: all of them, or those of a shard
  float* parameters = nullptr;
  // Where the folded gradient of a block lies, by the number of the block; any alignment of 4.
  const float* const* gradients = nullptr;
  double g_scale = 1;           // 1 / valid count, times the clipping factor
  double statistics_scale = 1;  // 1 / lanes that contributed
  // If not null: each weight again as bf16, at the same element of a second flat buffer; rounded to
  // nearest even, or up or down by chance with the right mean.
  std::uint16_t* bf16 = nullptr;
  bool stochastic = false;
  std::uint64_t seed = 0, step = 0;  // of the rounding: named (seed, step, parameter, element)
};

// Momentum is null where s.momentum is 0. Moves 12 bytes an element, 20 with momentum (+ 2 for
// bf16); 3 to 7 flops: limited by memory.
struct SgdRule {
  double lr, momentum, decay;
  bool nesterov, first;  // first: the buffer is not read, whatever it holds
};
void sgd(const UpdateArgs& args, const SgdRule& s, float* momentum, cudaStream_t stream);
void sgd_reference(const UpdateArgs& args, const SgdRule& s, float* momentum, cudaStream_t stream);

// c1 = 1 - beta1^t, c2 = 1 - beta2^t, t from 1. decoupled: AdamW; else decay is added to the
// gradient. Moves 28 bytes an element (+ 2 for bf16); 14 flops, a division and a root.
struct AdamRule {
  double lr, beta1, beta2, epsilon, decay, c1, c2;
  bool decoupled;
};
void adam(const UpdateArgs& args, const AdamRule& s, float* m, float* v, cudaStream_t stream);
void adam_reference(const UpdateArgs& args, const AdamRule& s, float* m, float* v,
                    cudaStream_t stream);

// LAMB in three launches, so that shards can exchange the sums of the blocks in between. No
// direction is kept: the last launch forms it again from m and v for the price of reading it.
// Moments, and the squares of the weights and of their directions by block; statistics move. 24
// bytes an element.
void lamb_moments(const UpdateArgs& args, const AdamRule& s, float* m, float* v,
                  double* weight_squares, double* direction_squares, cudaStream_t stream);
// -lr times the trust ratio of each parameter: |weights| / |direction|; 1 for kNoDecay ones and
// where one of the norms is 0.
void lamb_factors(const DeviceTable& table, double lr, const double* weight_squares,
                  const double* direction_squares, float* factors, cudaStream_t stream);
// parameters += factor * direction; 16 bytes an element (+ 2 for bf16).
void lamb_apply(const UpdateArgs& args, const AdamRule& s, const float* m, const float* v,
                const float* factors, cudaStream_t stream);

}  // namespace lockstep::kernels
