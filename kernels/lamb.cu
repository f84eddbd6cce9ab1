// LAMB (You et al. 2020, algorithm 2, phi(x) = x) over the flat buffer.
#include "kernels/launch.h"
#include "kernels/squares.cuh"
#include "kernels/update_rules.cuh"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 256;

struct LambFactors {
  AdamFactors adam;
  float decay, c1_inverse;
  LambFactors(const AdamRule& s, double scale)
      : adam(s, scale),
        decay(s.decoupled ? static_cast<float>(s.decay) : 0.0f),
        c1_inverse(static_cast<float>(1 / s.c1)) {}
  __device__ float direction(float x, float m, float v, bool decays) const {
    return fmaf(c1_inverse, adam.direction(m, v), __fmul_rn(decays ? decay : 0.0f, x));
  }
};

// The sums need the block's elements in order, 16 apart: they pass through shared memory (32 KiB),
// and a warp sums them while other blocks of the multiprocessor read theirs.
__global__ void __launch_bounds__(kThreads)
    lamb_moments_kernel(UpdateArgs a, LambFactors factors, float* m, float* v,
                        double* weight_squares, double* direction_squares) {
  // 16 more, so that the two halves of a warp read different banks.
  __shared__ alignas(16) float weights[kBlock + kAccumulators];
  __shared__ alignas(16) float directions[kBlock];
  const BlockView block = view_of(a.table, a.range.first + static_cast<int>(blockIdx.x));
  const float* const g = a.gradients[block.number];
  if (block.kind == ParameterKind::kStatistic) {
    for (int i = threadIdx.x; i < block.elements; i += kThreads) move_statistics(a, block, g, i);
    return;
  }
  const bool aligned = on_16_bytes(g), decays = block.kind == ParameterKind::kWeight;
  for (int i = 4 * threadIdx.x; i < block.elements; i += 4 * kThreads) {
    const int n = min(4, block.elements - i);
    const Four x = load_four(a.parameters + block.begin + i, n);
    const Four gradient = load_four(g + i, n, aligned);
    Four first = load_four(m + block.begin + i, n), second = load_four(v + block.begin + i, n);
    Four direction;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      factors.adam.move(x.at[k], gradient.at[k], decays, first.at[k], second.at[k]);
      direction.at[k] = factors.direction(x.at[k], first.at[k], second.at[k], decays);
    }
    store_four(m + block.begin + i, first, n);
    store_four(v + block.begin + i, second, n);
    store(weights + i, x);
    store(directions + i, direction);
  }
  if (!decays) return;  // its trust ratio is 1
  __syncthreads();
  if (threadIdx.x >= kWarp) return;
  const int accumulator = threadIdx.x % kAccumulators;
  const bool of_weights = threadIdx.x < kAccumulators;
  const double sum = sum_of_squares(of_weights ? weights : directions, block.elements, accumulator);
  if (accumulator == 0) (of_weights ? weight_squares : direction_squares)[block.number] = sum;
}

__global__ void __launch_bounds__(kThreads)
    lamb_factors_kernel(DeviceTable table, double lr, const double* weight_squares,
                        const double* direction_squares, float* factors) {
  const ParameterEntry entry = table.parameters[blockIdx.x];
  if (static_cast<ParameterKind>(entry.kind) == ParameterKind::kStatistic) return;
  double ratio = 1;
  if (static_cast<ParameterKind>(entry.kind) == ParameterKind::kWeight) {
    const int first = entry.first_block, count = entry.end_block - first;
    const double weights = __dsqrt_rn(sibling_sum<kThreads>(weight_squares + first, count));
    const double directions = __dsqrt_rn(sibling_sum<kThreads>(direction_squares + first, count));
    if (weights > 0 && directions > 0) ratio = __ddiv_rn(weights, directions);
  }
  if (threadIdx.x == 0) factors[blockIdx.x] = static_cast<float>(__dmul_rn(-lr, ratio));
}

__global__ void __launch_bounds__(kThreads)
    lamb_apply_kernel(UpdateArgs a, LambFactors lamb, const float* m, const float* v,
                      const float* factors) {
  const BlockView block = view_of(a.table, a.range.first + static_cast<int>(blockIdx.x));
  if (block.kind == ParameterKind::kStatistic) return;
  const bool decays = block.kind == ParameterKind::kWeight;
  const float factor = factors[block.parameter];
  for (int i = 4 * threadIdx.x; i < block.elements; i += 4 * kThreads) {
    const int n = min(4, block.elements - i);
    Four x = load_four(a.parameters + block.begin + i, n);
    const Four first = load_four(m + block.begin + i, n);
    const Four second = load_four(v + block.begin + i, n);
#pragma unroll
    for (int k = 0; k < 4; ++k)
      x.at[k] = fmaf(factor, lamb.direction(x.at[k], first.at[k], second.at[k], decays), x.at[k]);
    write_weights(a, block, i, n, x);
  }
}

}  // namespace

void lamb_moments(const UpdateArgs& a, const AdamRule& s, float* m, float* v,
                  double* weight_squares, double* direction_squares, cudaStream_t stream) {
  if (a.range.count == 0) return;
  lamb_moments_kernel<<<a.range.count, kThreads, 0, stream>>>(a, LambFactors(s, a.g_scale), m, v,
                                                              weight_squares, direction_squares);
  check_launch("lamb_moments");
}

void lamb_factors(const DeviceTable& table, double lr, const double* weight_squares,
                  const double* direction_squares, float* factors, cudaStream_t stream) {
  if (table.parameter_count == 0) return;
  lamb_factors_kernel<<<table.parameter_count, kThreads, 0, stream>>>(table, lr, weight_squares,
                                                                      direction_squares, factors);
  check_launch("lamb_factors");
}

void lamb_apply(const UpdateArgs& a, const AdamRule& s, const float* m, const float* v,
                const float* factors, cudaStream_t stream) {
  if (a.range.count == 0) return;
  lamb_apply_kernel<<<a.range.count, kThreads, 0, stream>>>(a, LambFactors(s, a.g_scale), m, v,
                                                            factors);
  check_launch("lamb_apply");
}

}  // namespace lockstep::kernels
