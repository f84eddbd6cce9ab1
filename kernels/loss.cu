#include "kernels/common.cuh"
#include "kernels/launch.h"
#include "kernels/loss.h"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 256, kEach = 8;
constexpr int kChunk = kThreads * kEach;  // values of a thread block: one partial sum of each kind

struct Partial {
  double loss = 0, absolute = 0, targets = 0, target_squares = 0, squares = 0;
  long long hits = 0;
};

template <ValueLoss kind>
__device__ inline double loss_of(float z, float t, float& d) {
  if constexpr (kind == ValueLoss::kLogistic) {  // max(z, 0) - z t + log(1 + exp(-|z|))
    const float e = expf(-fabsf(z));
    const float sigmoid = z >= 0 ? 1 / (1 + e) : e / (1 + e);
    d = sigmoid - t;
    const float positive = z < 0 ? 0.0f : z;  // NaN stays
    return (double{positive} - double{z} * t) + log1pf(e);
  } else {
    const float r = z - t;
    d = kind == ValueLoss::kSquared ? 2 * r : r > 0 ? 1.0f : r < 0 ? -1.0f : r;
    return kind == ValueLoss::kSquared ? double{r} * r : fabs(double{r});
  }
}

template <ValueLoss kind, bool measured>
__device__ inline void add_value(Partial& p, float z, float t, float& d) {
  p.loss += loss_of<kind>(z, t, d);
  if constexpr (measured) {
    const double target = t, r = target - z;
    p.absolute += fabs(r);
    p.targets += target;
    p.target_squares += target * target;
    p.squares += r * r;
    p.hits += z == z && (z > 0) == (t > 0.5f);
  }
}

// The sums of all threads, in thread 0.
template <bool measured>
__device__ Partial over_block(Partial p, double* scratch) {
  const auto sum = [&](auto& x) {
    using X = std::remove_reference_t<decltype(x)>;
    x = block_sum<kThreads>(x, reinterpret_cast<X*>(scratch));
    __syncthreads();
  };
  sum(p.loss);
  if constexpr (measured) {
    sum(p.absolute), sum(p.targets), sum(p.target_squares), sum(p.squares), sum(p.hits);
  }
  return p;
}

// Eight values a thread, a row of threads apart.
template <ValueLoss kind, bool measured>
__global__ void __launch_bounds__(kThreads)
    value_loss_kernel(const float* x, const float* t, float* d, std::int64_t n, Partial* partials) {
  __shared__ double scratch[kWarp];
  Partial p;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kChunk + threadIdx.x;
  float values[kEach], targets[kEach];
#pragma unroll
  for (int k = 0; k < kEach; ++k) {
    const std::int64_t i = begin + k * kThreads;
    values[k] = i < n ? x[i] : 0;
    targets[k] = i < n ? t[i] : 0;
  }
#pragma unroll
  for (int k = 0; k < kEach; ++k) {
    const std::int64_t i = begin + k * kThreads;
    if (i >= n) break;
    float gradient;
    add_value<kind, measured>(p, values[k], targets[k], gradient);
    if (d != nullptr) d[i] = gradient;
  }
  p = over_block<measured>(p, scratch);
  if (threadIdx.x == 0) partials[blockIdx.x] = p;
}

__device__ inline void add_to(const ValueSums& to, const Partial& p) {
  if (to.loss != nullptr) *to.loss += p.loss;
  if (to.absolute != nullptr) *to.absolute += p.absolute;
  if (to.targets != nullptr) *to.targets += p.targets;
  if (to.target_squares != nullptr) *to.target_squares += p.target_squares;
  if (to.squares != nullptr) *to.squares += p.squares;
  if (to.hits != nullptr) *to.hits += p.hits;
}

// One thread block over the partial sums.
__global__ void __launch_bounds__(kThreads)
    add_partials(const Partial* partials, std::int64_t count, ValueSums sums) {
  __shared__ double scratch[kWarp];
  Partial p;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) {
    const Partial next = partials[i];
    p.loss += next.loss;
    p.absolute += next.absolute;
    p.targets += next.targets;
    p.target_squares += next.target_squares;
    p.squares += next.squares;
    p.hits += next.hits;
  }
  p = over_block<true>(p, scratch);
  if (threadIdx.x == 0) add_to(sums, p);
}

template <ValueLoss kind>
__global__ void value_loss_naive(const float* x, const float* t, float* d, std::int64_t n,
                                 ValueSums sums) {
  Partial p;
  for (std::int64_t i = 0; i < n; ++i) {
    float gradient;
    add_value<kind, true>(p, x[i], t[i], gradient);
    if (d != nullptr) d[i] = gradient;
  }
  add_to(sums, p);
}

__global__ void add_counts_kernel(CountsToAdd counts) {
  for (int i = 0; i < counts.count; ++i) *counts.to[i] += counts.value[i];
}

template <ValueLoss kind>
void launch(const float* x, const float* t, float* d, std::int64_t n, const ValueSums& sums,
            Partial* partials, cudaStream_t stream) {
  const std::int64_t count = blocks_for(n, kChunk);
  const auto blocks = static_cast<unsigned>(count);
  const bool measured =
      sums.absolute || sums.targets || sums.target_squares || sums.squares || sums.hits;
  if (measured) {
    value_loss_kernel<kind, true><<<blocks, kThreads, 0, stream>>>(x, t, d, n, partials);
  } else {
    value_loss_kernel<kind, false><<<blocks, kThreads, 0, stream>>>(x, t, d, n, partials);
  }
  check_launch("value_loss");
  add_partials<<<1, kThreads, 0, stream>>>(partials, count, sums);
  check_launch("add_partials");
}

}  // namespace

std::size_t value_loss_workspace(std::int64_t n) { return sizeof(Partial) * blocks_for(n, kChunk); }

void value_loss(ValueLoss kind, const float* x, const float* t, float* d, std::int64_t n,
                const ValueSums& sums, void* workspace, cudaStream_t stream) {
  if (n == 0) return;
  auto* const partials = static_cast<Partial*>(workspace);
  switch (kind) {
    case ValueLoss::kSquared:
      return launch<ValueLoss::kSquared>(x, t, d, n, sums, partials, stream);
    case ValueLoss::kAbsolute:
      return launch<ValueLoss::kAbsolute>(x, t, d, n, sums, partials, stream);
    case ValueLoss::kLogistic:
      return launch<ValueLoss::kLogistic>(x, t, d, n, sums, partials, stream);
  }
}

void value_loss_reference(ValueLoss kind, const float* x, const float* t, float* d, std::int64_t n,
                          const ValueSums& sums, cudaStream_t stream) {
  switch (kind) {
    case ValueLoss::kSquared:
      value_loss_naive<ValueLoss::kSquared><<<1, 1, 0, stream>>>(x, t, d, n, sums);
      break;
    case ValueLoss::kAbsolute:
      value_loss_naive<ValueLoss::kAbsolute><<<1, 1, 0, stream>>>(x, t, d, n, sums);
      break;
    case ValueLoss::kLogistic:
      value_loss_naive<ValueLoss::kLogistic><<<1, 1, 0, stream>>>(x, t, d, n, sums);
      break;
  }
  check_launch("value_loss_reference");
}

void add_counts(const CountsToAdd& counts, cudaStream_t stream) {
  if (counts.count == 0) return;
  add_counts_kernel<<<1, 1, 0, stream>>>(counts);
  check_launch("add_counts");
}

}  // namespace lockstep::kernels
