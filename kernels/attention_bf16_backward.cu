// Backward in bf16 (Dao et al. 2023, algorithm 2) as two kernels, so that no sum needs atomics: a
// block of keys_kernel owns 64 or 128 keys of a key head and walks over all queries of all heads of
// its group, in order; a block of queries_kernel owns queries and walks over their keys. Both
// compute scores S and d_output V^T with the owned rows as rows of C, so that what meets the other
// factor next is in the registers of the warp that needs it. Flops: 14 width a pair (10 is the
// least with atomics). Bytes: mostly from L2, 2 KiB of shared memory a warp and step at width 64
// for 32 products. Bound: tensor cores and, at width 128, shared memory.
#include "kernels/attention_tiles.cuh"

namespace lockstep::kernels {
namespace {

using Pass = AttentionPass<__nv_bfloat16>;

constexpr int kStep = 32;  // queries (keys) that pass by at a time
// Blocks of 128 rows are used from this many on: two for each of 66 processors.
constexpr std::int64_t kLeastBlocks = 132;

template <int kWidth, int kTiles>
constexpr int kSharedBytes = (2 * 64 * kTiles + 4 * kStep) * HeadTile<kWidth>::kRowBytes;

// Rows of fp32 of one warp, from this thread's fragments.
template <int kWidth>
__device__ inline void write_rows(const Pass& p, float* to, int row,
                                  const float (&sums)[kWidth / 8][4], float scale) {
  const int t = threadIdx.x % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (row + 8 * half >= p.tokens) continue;
    float* at = to + static_cast<std::int64_t>(row + 8 * half) * p.step;
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
      const int column = 8 * j + 2 * t;
      if (column < p.step) {
        store(at + column,
              Pack<float, 2>{sums[j][2 * half] * scale, sums[j][2 * half + 1] * scale});
      }
    }
  }
}

template <int kWidth, int kTiles, bool kDrop>
__global__ void __launch_bounds__(kAttentionThreads, 2) keys_kernel(const Pass p) {
  using Tile = HeadTile<kWidth>;
  constexpr int kKeys = 64 * kTiles, kTileBytes = kStep * Tile::kRowBytes;
  extern __shared__ __align__(128) char shared[];
  __shared__ float statistics[2][2][kStep];  // stage; log sums, dots
  const unsigned k_tile = shared_address(shared), v_tile = k_tile + kKeys * Tile::kRowBytes;
  const unsigned stages = v_tile + kKeys * Tile::kRowBytes;  // of q, then d_output
  const int first_key = blockIdx.x * kKeys, key_head = blockIdx.y;
  const std::int64_t sample = blockIdx.z;
  const std::int64_t key_rows = (sample * p.kv_heads + key_head) * p.tokens;

  // Queries before the first key do not see it.
  const int first_block = p.causal ? first_key / kStep : 0;
  const int blocks = (p.tokens + kStep - 1) / kStep - first_block;
  const int steps = blocks * p.group;
  const auto head_of = [&](int step) { return key_head * p.group + step / blocks; };
  const auto query_of = [&](int step) { return (first_block + step % blocks) * kStep; };
  const auto fetch = [&](int step) {
    if (step < steps) {
      const std::int64_t rows = (sample * p.heads + head_of(step)) * p.tokens;
      const int query = query_of(step);
      const unsigned to = stages + step % 2 * 2 * kTileBytes;
      Tile::template fetch<kStep>(to, p.q + rows * p.step, query, p.tokens, p.step);
      Tile::template fetch<kStep>(to + kTileBytes, p.d_output + rows * p.step, query, p.tokens,
                                  p.step);
      const int which = threadIdx.x / kStep, row = threadIdx.x % kStep;
      if (which < 2) {
        const float* from = (which == 0 ? p.log_sums : p.dots) + rows;
        const bool there = query + row < p.tokens;
        copy_async_word(shared_address(&statistics[step % 2][which][row]),
                        there ? from + query + row : from, there ? 4 : 0);
      }
    }
    commit_copies();
  };
  Tile::template fetch<kKeys>(k_tile, p.k + key_rows * p.step, first_key, p.tokens, p.step);
  Tile::template fetch<kKeys>(v_tile, p.v + key_rows * p.step, first_key, p.tokens, p.step);
  fetch(0);

  const int warp_lane = threadIdx.x % kWarp, g = warp_lane / 4, t = warp_lane % 4;
  const int warp_row = threadIdx.x / kWarp * 16 * kTiles;
  float d_k[kTiles][kWidth / 8][4] = {}, d_v[kTiles][kWidth / 8][4] = {};
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<0>();
    __syncthreads();  // the stage is there; all are done with the other
    fetch(step + 1);
    const unsigned q_tile = stages + step % 2 * 2 * kTileBytes, d_tile = q_tile + kTileBytes;
    const int query = query_of(step);
    float weights[kTiles][kStep / 8][4] = {}, d_scores[kTiles][kStep / 8][4] = {};
    multiply_rows<kWidth, kTiles, kStep>(weights, k_tile, warp_row, q_tile);
    multiply_rows<kWidth, kTiles, kStep>(d_scores, v_tile, warp_row, d_tile);
    const bool edge = p.causal && first_key + warp_row + 16 * kTiles - 1 > query;
#pragma unroll
    for (int j = 0; j < kStep / 8; ++j) {
      const int column = 8 * j + 2 * t;
      const auto log_sums = load<Pack<float, 2>>(&statistics[step % 2][0][column]);
      const auto dots = load<Pack<float, 2>>(&statistics[step % 2][1][column]);
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        const int key = first_key + warp_row + 16 * i + g;
        float keep[4] = {1, 1, 1, 1};
        if constexpr (kDrop)
          AttentionDropout(p, sample, head_of(step)).down(keep, key, query + column);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float exponent = fmaf(weights[i][j][e], p.scale_log2, -log_sums.at[e % 2]);
          if (edge && key + e / 2 * 8 > query + column + e % 2) exponent = -INFINITY;
          const float weight = power_of_two(exponent);
          d_scores[i][j][e] = weight * (fmaf(d_scores[i][j][e], keep[e], -dots.at[e % 2]));
          weights[i][j][e] = kDrop ? weight * keep[e] : weight;
        }
      }
    }
    multiply_columns<kWidth, kTiles, kStep>(d_v, weights, d_tile);
    multiply_columns<kWidth, kTiles, kStep>(d_k, d_scores, q_tile);
  }
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    const int row = first_key + warp_row + 16 * i + g;
    write_rows<kWidth>(p, p.d_k + key_rows * p.step, row, d_k[i], p.scale);
    write_rows<kWidth>(p, p.d_v + key_rows * p.step, row, d_v[i], 1);
  }
}

template <int kWidth, int kTiles, bool kDrop>
__global__ void __launch_bounds__(kAttentionThreads, 2) queries_kernel(const Pass p) {
  using Tile = HeadTile<kWidth>;
  constexpr int kQueries = 64 * kTiles, kTileBytes = kStep * Tile::kRowBytes;
  extern __shared__ __align__(128) char shared[];
  const unsigned q_tile = shared_address(shared), d_tile = q_tile + kQueries * Tile::kRowBytes;
  const unsigned stages = d_tile + kQueries * Tile::kRowBytes;  // of k, then v
  const int head = blockIdx.y;
  const std::int64_t sample = blockIdx.z;
  const int first_query = (gridDim.x - 1 - blockIdx.x) * kQueries;
  const std::int64_t rows = (sample * p.heads + head) * p.tokens;
  const std::int64_t key_rows = (sample * p.kv_heads + head / p.group) * p.tokens;
  const int keys = p.causal ? min(p.tokens, first_query + kQueries) : p.tokens;

  const auto fetch = [&](int key) {
    if (key < keys) {
      const unsigned to = stages + key / kStep % 2 * 2 * kTileBytes;
      Tile::template fetch<kStep>(to, p.k + key_rows * p.step, key, p.tokens, p.step);
      Tile::template fetch<kStep>(to + kTileBytes, p.v + key_rows * p.step, key, p.tokens, p.step);
    }
    commit_copies();
  };
  Tile::template fetch<kQueries>(q_tile, p.q + rows * p.step, first_query, p.tokens, p.step);
  Tile::template fetch<kQueries>(d_tile, p.d_output + rows * p.step, first_query, p.tokens, p.step);
  fetch(0);

  const int warp_lane = threadIdx.x % kWarp, g = warp_lane / 4, t = warp_lane % 4;
  const int warp_row = threadIdx.x / kWarp * 16 * kTiles;
  float log_sums[kTiles][2], dots[kTiles][2];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_query + warp_row + 16 * i + 8 * half + g;
      log_sums[i][half] = row < p.tokens ? p.log_sums[rows + row] : 0;
      dots[i][half] = row < p.tokens ? p.dots[rows + row] : 0;
    }
  }
  float d_q[kTiles][kWidth / 8][4] = {};
  for (int key = 0; key < keys; key += kStep) {
    wait_for_copies<0>();
    __syncthreads();  // the stage is there; all are done with the other
    fetch(key + kStep);
    const unsigned k_tile = stages + key / kStep % 2 * 2 * kTileBytes, v_tile = k_tile + kTileBytes;
    float scores[kTiles][kStep / 8][4] = {}, d_scores[kTiles][kStep / 8][4] = {};
    multiply_rows<kWidth, kTiles, kStep>(scores, q_tile, warp_row, k_tile);
    multiply_rows<kWidth, kTiles, kStep>(d_scores, d_tile, warp_row, v_tile);
    const int last_key = key + kStep - 1;
    const bool edge = last_key >= p.tokens || (p.causal && last_key > first_query + warp_row);
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const int row = first_query + warp_row + 16 * i + g;
#pragma unroll
      for (int j = 0; j < kStep / 8; ++j) {
        const int column = key + 8 * j + 2 * t;
        float keep[4] = {1, 1, 1, 1};
        if constexpr (kDrop) AttentionDropout(p, sample, head).across(keep, row, column);
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float exponent = fmaf(scores[i][j][e], p.scale_log2, -log_sums[i][e / 2]);
          const int at = column + e % 2;
          if (edge && (at >= p.tokens || (p.causal && at > row + e / 2 * 8))) exponent = -INFINITY;
          d_scores[i][j][e] =
              power_of_two(exponent) * fmaf(d_scores[i][j][e], keep[e], -dots[i][e / 2]);
        }
      }
    }
    multiply_columns<kWidth, kTiles, kStep>(d_q, d_scores, k_tile);
  }
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    write_rows<kWidth>(p, p.d_q + rows * p.step, first_query + warp_row + 16 * i + g, d_q[i],
                       p.scale);
  }
}

template <int kWidth, int kTiles, bool kDrop>
void launch(const Pass& p, std::int64_t samples, cudaStream_t stream) {
  constexpr int kBytes = kSharedBytes<kWidth, kTiles>;
  const auto launch_one = [&](auto kernel, int heads, const char* name) {
    if constexpr (kBytes + 1024 > 48 * 1024)
      allow_shared_memory(reinterpret_cast<const void*>(kernel), kBytes, name);
    const dim3 grid(static_cast<unsigned>(blocks_for(p.tokens, 64 * kTiles)),
                    static_cast<unsigned>(heads), static_cast<unsigned>(samples));
    kernel<<<grid, kAttentionThreads, kBytes, stream>>>(p);
    check_launch(name);
  };
  launch_one(keys_kernel<kWidth, kTiles, kDrop>, p.kv_heads, "attention_backward keys bf16");
  launch_one(queries_kernel<kWidth, kTiles, kDrop>, p.heads, "attention_backward queries bf16");
}

template <int kWidth, bool kDrop>
void launch(const Pass& p, std::int64_t samples, cudaStream_t stream) {
  constexpr int kMost = kDrop || kWidth != 64 ? 1 : 2;  // wider ones have no registers for 32 rows
  if (blocks_for(p.tokens, 128) * p.kv_heads * samples < kLeastBlocks) {
    launch<kWidth, 1, kDrop>(p, samples, stream);
  } else {
    launch<kWidth, kMost, kDrop>(p, samples, stream);
  }
}

}  // namespace

void attention_backward(const AttentionShape& s, const __nv_bfloat16* q, const __nv_bfloat16* k,
                        const __nv_bfloat16* v, const __nv_bfloat16* d_output_heads,
                        const float* log_sums, const float* dots, const AttentionGradients& to,
                        cudaStream_t stream) {
  require_capability(80, "attention bf16");
  require_argument(s.width <= kMostBf16Width, "width of attention in bf16");
  require_argument(s.position == 0, "backward of attention after a cache");
  const Pass p = backward_pass(s, q, k, v, d_output_heads, log_sums, dots, to);
  for_tuned_width(s.width, [&](auto width) {
    if (s.random != nullptr) {
      launch<decltype(width)::value, true>(p, s.samples, stream);
    } else {
      launch<decltype(width)::value, false>(p, s.samples, stream);
    }
  });
}

}  // namespace lockstep::kernels
