// Backward in fp32 on the CUDA cores as two kernels without atomics, like the bf16 one: a block of
// keys_kernel owns 64 keys and walks over all queries of all heads of their group, in order; a
// block of queries_kernel owns 64 queries. Flops: 14 width a pair. Bound: fused multiply-adds.
#include "kernels/attention_blocks.cuh"

namespace lockstep::kernels {
namespace {

using Pass = AttentionPass<float>;

template <int kSlice>
__device__ inline void write_rows(const Pass& p, float* to, int first, int slice,
                                  const float (&sums)[4][kSlice / 16], float scale) {
  using Columns = SliceColumns<kSlice>;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = first + threadIdx.x / 16 * 4 + i;
    if (row >= p.tokens) continue;
#pragma unroll
    for (int group = 0; group < Columns::kGroups; ++group) {
#pragma unroll
      for (int e = 0; e < Columns::kTogether; ++e) {
        const int column = slice + Columns::column(group) + e;
        if (column < p.step) {
          to[static_cast<std::int64_t>(row) * p.step + column] =
              sums[i][group * Columns::kTogether + e] * scale;
        }
      }
    }
  }
}

// Scores and d_output V^T of a pair to its probability after dropout and its score's gradient.
__device__ inline void weigh(const Pass& p, bool seen, float keep, float log_sum, float dot,
                             float& score, float& d_score) {
  const float weight = seen ? power_of_two(fmaf(score, p.scale_log2, -log_sum)) : 0.0f;
  score = weight * keep;
  d_score = weight * fmaf(d_score, keep, -dot);
}

template <int kSlice, bool kDrop>
__global__ void __launch_bounds__(kBlockThreads, kSlice <= 32 && !kDrop ? 2 : 1)
    keys_kernel(const Pass p, int slices) {
  __shared__ BlockMemory<kSlice> memory;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16, key_head = blockIdx.y;
  const int slice = blockIdx.x % slices * kSlice;
  const int first_key = blockIdx.x / slices * kBlockRows;
  const std::int64_t sample = blockIdx.z;
  const std::int64_t place = (sample * p.kv_heads + key_head) * p.tokens * p.step;
  const HeadRows k{p.k + place, p.tokens, p.step}, v{p.v + place, p.tokens, p.step};

  float d_k[4][kSlice / 16] = {}, d_v[4][kSlice / 16] = {};
  for (int head = key_head * p.group; head < (key_head + 1) * p.group; ++head) {
    const std::int64_t rows = (sample * p.heads + head) * p.tokens;
    const HeadRows q{p.q + rows * p.step, p.tokens, p.step};
    const HeadRows d{p.d_output + rows * p.step, p.tokens, p.step};
    for (int query = p.causal ? first_key : 0; query < p.tokens; query += kBlockRows) {
      // Rows are keys, columns queries.
      float weights[4][4], d_scores[4][4];
      multiply_row_blocks(weights, k, first_key, q, query, p.width, memory.factors);
      multiply_row_blocks(d_scores, v, first_key, d, query, p.width, memory.factors);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int token = query + 4 * tx + j;
        const bool there = token < p.tokens;
        const float log_sum = there ? p.log_sums[rows + token] : 0.0f;
        const float dot = there ? p.dots[rows + token] : 0.0f;
        float keep[4] = {1, 1, 1, 1};
        if constexpr (kDrop)
          AttentionDropout(p, sample, head).four(keep, token, first_key + 4 * ty);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const bool seen = there && (!p.causal || first_key + 4 * ty + i <= token);
          weigh(p, seen, keep[i], log_sum, dot, weights[i][j], d_scores[i][j]);
        }
      }
      write_weights(memory.weights, weights);
      add_weighted_rows<kSlice>(d_v, memory.weights, d, query, slice, memory.chunk);
      __syncthreads();
      write_weights(memory.weights, d_scores);
      add_weighted_rows<kSlice>(d_k, memory.weights, q, query, slice, memory.chunk);
    }
  }
  write_rows<kSlice>(p, p.d_k + place, first_key, slice, d_k, p.scale);
  write_rows<kSlice>(p, p.d_v + place, first_key, slice, d_v, 1);
}

template <int kSlice, bool kDrop>
__global__ void __launch_bounds__(kBlockThreads, kSlice <= 64 && !kDrop ? 2 : 1)
    queries_kernel(const Pass p, int slices) {
  __shared__ BlockMemory<kSlice> memory;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16, head = blockIdx.y;
  const int slice = blockIdx.x % slices * kSlice;
  const int first_query = (gridDim.x / slices - 1 - blockIdx.x / slices) * kBlockRows;
  const std::int64_t sample = blockIdx.z;
  const std::int64_t rows = (sample * p.heads + head) * p.tokens;
  const std::int64_t key_rows = (sample * p.kv_heads + head / p.group) * p.tokens;
  const HeadRows q{p.q + rows * p.step, p.tokens, p.step};
  const HeadRows d{p.d_output + rows * p.step, p.tokens, p.step};
  const HeadRows k{p.k + key_rows * p.step, p.tokens, p.step};
  const HeadRows v{p.v + key_rows * p.step, p.tokens, p.step};
  const int keys = p.causal ? min(p.tokens, first_query + kBlockRows) : p.tokens;

  float d_q[4][kSlice / 16] = {};
  for (int key = 0; key < keys; key += kBlockRows) {
    float scores[4][4], d_scores[4][4];
    multiply_row_blocks(scores, q, first_query, k, key, p.width, memory.factors);
    multiply_row_blocks(d_scores, d, first_query, v, key, p.width, memory.factors);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int token = first_query + 4 * ty + i;
      const bool there = token < p.tokens;
      const float log_sum = there ? p.log_sums[rows + token] : 0.0f;
      const float dot = there ? p.dots[rows + token] : 0.0f;
      float keep[4] = {1, 1, 1, 1};
      if constexpr (kDrop) AttentionDropout(p, sample, head).four(keep, token, key + 4 * tx);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int at = key + 4 * tx + j;
        const bool seen = there && at < p.tokens && (!p.causal || at <= token);
        weigh(p, seen, keep[j], log_sum, dot, scores[i][j], d_scores[i][j]);
      }
    }
    write_weights(memory.weights, d_scores);
    add_weighted_rows<kSlice>(d_q, memory.weights, k, key, slice, memory.chunk);
  }
  write_rows<kSlice>(p, p.d_q + rows * p.step, first_query, slice, d_q, p.scale);
}

template <int kSlice, bool kDrop>
void launch(const Pass& p, std::int64_t samples, cudaStream_t stream) {
  const int slices = static_cast<int>(blocks_for(p.width, kSlice));
  const auto blocks = static_cast<unsigned>(blocks_for(p.tokens, kBlockRows) * slices);
  const auto depth = static_cast<unsigned>(samples);
  const dim3 key_grid(blocks, static_cast<unsigned>(p.kv_heads), depth);
  keys_kernel<kSlice, kDrop><<<key_grid, kBlockThreads, 0, stream>>>(p, slices);
  check_launch("attention_backward keys");
  const dim3 query_grid(blocks, static_cast<unsigned>(p.heads), depth);
  queries_kernel<kSlice, kDrop><<<query_grid, kBlockThreads, 0, stream>>>(p, slices);
  check_launch("attention_backward queries");
}

}  // namespace

void attention_backward(const AttentionShape& s, const float* q, const float* k, const float* v,
                        const float* d_output_heads, const float* log_sums, const float* dots,
                        const AttentionGradients& to, cudaStream_t stream) {
  require_argument(s.position == 0, "backward of attention after a cache");
  const Pass p = backward_pass(s, q, k, v, d_output_heads, log_sums, dots, to);
  for_slice_width(s.width, [&](auto width) {
    if (s.random != nullptr) {
      launch<decltype(width)::value, true>(p, s.samples, stream);
    } else {
      launch<decltype(width)::value, false>(p, s.samples, stream);
    }
  });
}

}  // namespace lockstep::kernels
