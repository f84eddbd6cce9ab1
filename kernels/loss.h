// Losses of single values against targets, with gradients, and what metrics add up, in one pass.
// Softmax cross-entropy: cross_entropy.h. Knows nothing of records or metrics' names.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace lockstep::kernels {

enum class ValueLoss : std::int32_t { kSquared, kAbsolute, kLogistic };

// Where sums of values are added, each one number in the device's memory; null: not wanted.
struct ValueSums {
  double* loss = nullptr;
  double* absolute = nullptr;  // |t - x|
  double* targets = nullptr;   // t
  double* target_squares = nullptr;
  double* squares = nullptr;     // (t - x)^2
  std::int64_t* hits = nullptr;  // x > 0 where t > 0.5, x <= 0 elsewhere; never NaN
};

// x, t, d [n]; d (null: none) = gradient of the sum of losses. Values in fp32 as the CPU op, sums
// in double in two stages of fixed order. Moves 12 bytes an element; kLogistic: an exponential, a
// logarithm and two divisions.
void value_loss(ValueLoss kind, const float* x, const float* t, float* d, std::int64_t n,
                const ValueSums& sums, void* workspace, cudaStream_t stream);
std::size_t value_loss_workspace(std::int64_t n);  // bytes
// One thread, value after value.
void value_loss_reference(ValueLoss kind, const float* x, const float* t, float* d, std::int64_t n,
                          const ValueSums& sums, cudaStream_t stream);

// Adds to up to eight numbers.
struct CountsToAdd {
  std::int64_t* to[8];
  std::int64_t value[8];
  int count = 0;
  void add(std::int64_t* where, std::int64_t what) { to[count] = where, value[count++] = what; }
};
void add_counts(const CountsToAdd& counts, cudaStream_t stream);

}  // namespace lockstep::kernels
