// The fold's tree. A thread holds four neighbouring elements and the stack of waiting partial sums
// in registers: a push or merge shifts it, so that every index is known when compiling. Sources are
// loaded four ahead of their additions, to have that many reads under way. One CUDA block a norm
// block of 4096 elements (in pieces of that size if longer): the sum is kept in shared memory, and
// 16 threads add its squares in the one order, while other blocks of the multiprocessor move
// memory.
#include "kernels/common.cuh"
#include "kernels/fold.h"
#include "kernels/launch.h"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kPiece = 4096;  // elements of the sum kept for their squares
constexpr int kAhead = 4;     // sources loaded before they are added
constexpr int kAccumulators = 16;
constexpr int kDeepest = 64;  // of the reference's stack

template <class V>
struct Vector {};
template <>
struct Vector<float> {
  static __device__ float sum(float a, float b) { return a + b; }
};
template <>
struct Vector<Pack16<float>> {
  static __device__ Pack16<float> sum(const Pack16<float>& a, const Pack16<float>& b) {
    Pack16<float> c;
#pragma unroll
    for (int k = 0; k < 4; ++k) c.at[k] = a.at[k] + b.at[k];
    return c;
  }
};

// The tree for the elements of one V at e; returns the first out.
template <class V, int kDepth>
__device__ inline V fold_at(const FoldTree& tree, std::int64_t e) {
  V stack[kDepth];
#pragma unroll
  for (int d = 0; d < kDepth; ++d) stack[d] = V{};
  for (int first = 0; first < tree.source_count; first += kAhead) {
    V loaded[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      if (first + k < tree.source_count) loaded[k] = load<V>(tree.sources[first + k] + e);
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      if (first + k >= tree.source_count) break;
#pragma unroll
      for (int d = kDepth - 1; d > 0; --d) stack[d] = stack[d - 1];
      stack[0] = loaded[k];
      for (int m = tree.merges[first + k]; m > 0; --m) {
        stack[0] = Vector<V>::sum(stack[1], stack[0]);
#pragma unroll
        for (int d = 1; d + 1 < kDepth; ++d) stack[d] = stack[d + 1];
      }
    }
  }
  V result{};
#pragma unroll
  for (int d = 0; d < kDepth; ++d) {
    if (d >= tree.out_count) continue;
    const int out = tree.out_count - 1 - d;
    store(tree.outs[out] + e, stack[d]);
    if (out == 0) result = stack[d];
  }
  return result;
}

template <int kDepth, bool kValues>
__global__ void __launch_bounds__(kThreads)
    fold_kernel(const __grid_constant__ FoldTree tree, const FoldBlock* blocks, double* values) {
  __shared__ float kept[kValues ? kPiece : 1];
  const FoldBlock block = blocks[blockIdx.x];
  double total = 0;
  for (std::int64_t piece = 0; piece < block.elements; piece += kPiece) {
    const int n =
        static_cast<int>(block.elements - piece < kPiece ? block.elements - piece : kPiece);
    const std::int64_t begin = block.begin + piece;
    for (int i = 4 * static_cast<int>(threadIdx.x); i + 4 <= n; i += 4 * kThreads) {
      const auto sum = fold_at<Pack16<float>, kDepth>(tree, begin + i);
      if constexpr (kValues) store(kept + i, sum);
    }
    const int tail = n / 4 * 4 + static_cast<int>(threadIdx.x);
    if (tail < n) {
      const float sum = fold_at<float, kDepth>(tree, begin + tail);
      if constexpr (kValues) kept[tail] = sum;
    }
    if constexpr (kValues) {
      __syncthreads();
      if (threadIdx.x < kAccumulators) {
        for (int i = static_cast<int>(threadIdx.x); i < n; i += kAccumulators) {
          const double x = kept[i];
          total = fma(x, x, total);
        }
      }
      __syncthreads();
    }
  }
  if constexpr (kValues) {
#pragma unroll
    for (int distance = kAccumulators / 2; distance > 0; distance /= 2)
      total += __shfl_xor_sync(kFullMask, total, distance);
    if (threadIdx.x == 0) values[blockIdx.x] = total;
  }
}

// One element a thread, the stack in local memory.
__global__ void fold_naive(const __grid_constant__ FoldTree tree, const FoldBlock* blocks) {
  const FoldBlock block = blocks[blockIdx.x];
  for (std::int64_t i = threadIdx.x; i < block.elements; i += blockDim.x) {
    float stack[kDeepest];
    int depth = 0;
    for (int s = 0; s < tree.source_count; ++s) {
      stack[depth++] = tree.sources[s][block.begin + i];
      for (int m = 0; m < tree.merges[s]; ++m) {
        --depth;
        stack[depth - 1] = stack[depth - 1] + stack[depth];
      }
    }
    for (int out = 0; out < tree.out_count; ++out) tree.outs[out][block.begin + i] = stack[out];
  }
}

__global__ void squares_naive(const float* x, const FoldBlock* blocks, int count, double* values) {
  const int b = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (b >= count) return;
  double total[kAccumulators] = {};
  for (std::int64_t i = 0; i < blocks[b].elements; ++i) {
    const double wide = x[blocks[b].begin + i];
    total[i % kAccumulators] = fma(wide, wide, total[i % kAccumulators]);
  }
  for (int distance = kAccumulators / 2; distance > 0; distance /= 2)
    for (int i = 0; i < distance; ++i) total[i] += total[i + distance];
  values[b] = total[0];
}

// The stack's greatest height.
int depth_of(const FoldTree& tree) {
  int depth = 0, deepest = 0;
  for (int s = 0; s < tree.source_count; ++s) {
    deepest = deepest > ++depth ? deepest : depth;
    depth -= tree.merges[s];
    require_argument(depth >= 1, "a tree of the fold merges more than there is");
  }
  require_argument(depth == tree.out_count,
                   "a tree of the fold leaves as many values as it has outs");
  return deepest;
}

template <int kDepth>
void launch(const FoldTree& tree, const FoldBlock* blocks, int count, double* values,
            cudaStream_t stream) {
  const auto grid = static_cast<unsigned>(count);
  if (values != nullptr)
    fold_kernel<kDepth, true><<<grid, kThreads, 0, stream>>>(tree, blocks, values);
  else
    fold_kernel<kDepth, false><<<grid, kThreads, 0, stream>>>(tree, blocks, values);
  check_launch("fold");
}

}  // namespace

void fold(const FoldTree& tree, const FoldBlock* blocks, int count, double* values,
          cudaStream_t stream) {
  if (count == 0) return;
  const int depth = depth_of(tree);
  if (depth <= 3) return launch<3>(tree, blocks, count, values, stream);
  if (depth <= 6) return launch<6>(tree, blocks, count, values, stream);
  if (depth <= 12) return launch<12>(tree, blocks, count, values, stream);
  fold_reference(tree, blocks, count, values, stream);
}

void fold_reference(const FoldTree& tree, const FoldBlock* blocks, int count, double* values,
                    cudaStream_t stream) {
  if (count == 0) return;
  require_argument(depth_of(tree) <= kDeepest, "a tree of the fold is at most 64 deep");
  fold_naive<<<static_cast<unsigned>(count), kThreads, 0, stream>>>(tree, blocks);
  check_launch("fold_reference");
  if (values == nullptr) return;
  squares_naive<<<static_cast<unsigned>(blocks_for(count, kThreads)), kThreads, 0, stream>>>(
      tree.outs[0], blocks, count, values);
  check_launch("fold_reference");
}

}  // namespace lockstep::kernels
