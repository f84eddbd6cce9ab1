// The order of sums of squares, on the device (squares.h).
#pragma once
#include "kernels/common.cuh"

namespace lockstep::kernels {

constexpr int kAccumulators = 16;

// By 16 neighbouring threads of a warp whose other half calls too: thread `accumulator` takes
// elements accumulator, + 16, + 32, ... The sum is in thread 0 of the 16. Squares are exact in
// double.
__device__ inline double sum_of_squares(const float* x, int n, int accumulator) {
  constexpr int kAhead = 8;  // loads under way
  double total = 0;
  int i = accumulator;
  for (; i + (kAhead - 1) * kAccumulators < n; i += kAhead * kAccumulators) {
    float next[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) next[k] = x[i + k * kAccumulators];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) total = fma(double{next[k]}, double{next[k]}, total);
  }
  for (; i < n; i += kAccumulators) total = fma(double{x[i]}, double{x[i]}, total);
#pragma unroll
  for (int half = kAccumulators / 2; half > 0; half /= 2)
    total += __shfl_down_sync(kFullMask, total, half, kAccumulators);
  return total;
}

// Of count > 0 values by a thread block, the same in each thread: as optim::SiblingSum, the leaves
// of a binary tree over the next power of two, absent ones skipped. A second call writes `waiting`
// only behind its own barriers, when all threads have left the first.
template <int kThreads>
__device__ inline double sibling_sum(const double* values, int count) {
  constexpr int kLeaves = 4 * kThreads;  // a power of two: one node of the tree
  __shared__ double node[kLeaves];
  __shared__ double waiting[32];  // left siblings among nodes of kLeaves, largest first
  int size = 0;
  for (int begin = 0, done = 0; begin < count; begin += kLeaves, ++done) {
    const int n = min(kLeaves, count - begin);
    for (int i = threadIdx.x; i < n; i += kThreads) node[i] = values[begin + i];
    __syncthreads();
    for (int distance = 1; distance < n; distance *= 2) {
      for (int i = 2 * distance * static_cast<int>(threadIdx.x); i + distance < n;
           i += 2 * distance * kThreads)
        node[i] += node[i + distance];
      __syncthreads();
    }
    // The trailing ones of the number done are the complete nodes that wait for this one.
    int take = 0;
    while (done >> take & 1) ++take;
    if (threadIdx.x == 0) {
      double value = node[0];
      for (int k = 0; k < take; ++k) value = waiting[size - 1 - k] + value;
      waiting[size - take] = value;
    }
    size += 1 - take;
    __syncthreads();
  }
  double sum = waiting[size - 1];
  for (int i = size - 2; i >= 0; --i) sum = waiting[i] + sum;
  return sum;
}

}  // namespace lockstep::kernels
