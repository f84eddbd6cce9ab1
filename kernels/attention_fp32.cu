// Forward in fp32 on the CUDA cores (Dao et al. 2022, algorithm 1, queries outside): a block of 256
// threads owns 64 queries and one slice of up to 128 columns, and walks over the keys, 64 at a time
// from key 0. Flops: 4 width a pair. Bound: fused multiply-adds; of every 4 cycles of those the
// shared memory is read in 3.
#include "kernels/attention_blocks.cuh"

namespace lockstep::kernels {
namespace {

using Pass = AttentionPass<float>;

// Over the 16 threads of a row.
template <class Combine>
__device__ inline float over_row(float x, Combine combine) {
#pragma unroll
  for (int distance = 8; distance > 0; distance /= 2)
    x = combine(x, __shfl_xor_sync(kFullMask, x, distance));
  return x;
}

template <int kSlice, bool kDrop>
__global__ void __launch_bounds__(kBlockThreads, 2) attention_kernel(const Pass p, int slices) {
  __shared__ BlockMemory<kSlice> memory;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16, head = blockIdx.y;
  const int slice = blockIdx.x % slices * kSlice;
  const std::int64_t sample = blockIdx.z;
  // Where causal, the last queries have most keys: they start first.
  const int first_query = (gridDim.x / slices - 1 - blockIdx.x / slices) * kBlockRows;
  const std::int64_t key_head = sample * p.kv_heads + head / p.group;
  const HeadRows q{p.q + (sample * p.heads + head) * p.tokens * p.step, p.tokens, p.step};
  const HeadRows k{p.k + key_head * p.capacity * p.step, p.keys, p.step};
  const HeadRows v{p.v + key_head * p.capacity * p.step, p.keys, p.step};
  const int keys = p.causal ? min(p.keys, p.position + first_query + kBlockRows) : p.keys;

  float sums[4][kSlice / 16] = {}, row_sums[4] = {};
  float largest[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  for (int key = 0; key < keys; key += kBlockRows) {
    float scores[4][4];
    multiply_row_blocks(scores, q, first_query, k, key, p.width, memory.factors);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = first_query + 4 * ty + i;
      const int seen = min(p.keys, p.causal ? p.position + row + 1 : p.keys) - key - 4 * tx;
      float most = largest[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (j >= seen) scores[i][j] = -INFINITY;
        most = fmaxf(most, scores[i][j]);
      }
      most = over_row(most, [](float a, float b) { return fmaxf(a, b); });
      const float shift = most * p.scale_log2;
      // Exactly 1 where the largest stays, so that keys not seen change nothing; 0 at first.
      const float shrink = power_of_two(largest[i] * p.scale_log2 - shift);
      largest[i] = most;
      row_sums[i] *= shrink;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        scores[i][j] = power_of_two(fmaf(scores[i][j], p.scale_log2, -shift));
        row_sums[i] += scores[i][j];
      }
#pragma unroll
      for (int c = 0; c < kSlice / 16; ++c) sums[i][c] *= shrink;
      if constexpr (kDrop) {
        float keep[4];
        AttentionDropout(p, sample, head).four(keep, row, key + 4 * tx);
#pragma unroll
        for (int j = 0; j < 4; ++j) scores[i][j] *= keep[j];
      }
    }
    write_weights(memory.weights, scores);
    add_weighted_rows<kSlice>(sums, memory.weights, v, key, slice, memory.chunk);
  }

  using Columns = SliceColumns<kSlice>;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = first_query + 4 * ty + i;
    const float sum = over_row(row_sums[i], [](float a, float b) { return a + b; });
    if (row >= p.tokens) continue;
    const float inverse = 1.0f / sum;
    float* to = p.output + ((sample * p.tokens + row) * p.heads + head) * p.width;
#pragma unroll
    for (int group = 0; group < Columns::kGroups; ++group) {
#pragma unroll
      for (int e = 0; e < Columns::kTogether; ++e) {
        const int column = slice + Columns::column(group) + e;
        if (column < p.width) to[column] = sums[i][group * Columns::kTogether + e] * inverse;
      }
    }
    if (tx == 0 && slice == 0 && p.to_log_sums != nullptr) {
      p.to_log_sums[(sample * p.heads + head) * p.tokens + row] =
          largest[i] * p.scale_log2 + log2f(sum);
    }
  }
}

}  // namespace

void attention_forward(const AttentionShape& s, const float* q, const float* k, const float* v,
                       float* output, float* log_sums, cudaStream_t stream) {
  const Pass p = forward_pass(s, q, k, v, output, log_sums);
  for_slice_width(s.width, [&](auto width) {
    constexpr int kSlice = decltype(width)::value;
    const int slices = static_cast<int>(blocks_for(s.width, kSlice));
    const dim3 grid(static_cast<unsigned>(blocks_for(s.tokens, kBlockRows) * slices),
                    static_cast<unsigned>(s.heads), static_cast<unsigned>(s.samples));
    if (s.random != nullptr) {
      attention_kernel<kSlice, true><<<grid, kBlockThreads, 0, stream>>>(p, slices);
    } else {
      attention_kernel<kSlice, false><<<grid, kBlockThreads, 0, stream>>>(p, slices);
    }
  });
  check_launch("attention_forward");
}

}  // namespace lockstep::kernels
