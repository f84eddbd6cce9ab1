// Forward in bf16 (Dao et al. 2023, algorithm 1): a block of four warps owns 64 or 128 queries of a
// head and walks over its keys, 64 at a time (32 where heads are widest) from key 0. A warp owns 16
// or 32 queries, so that the softmax needs shuffles of four threads alone and the probabilities
// never leave the registers. Keys are on their way while values are used, and the other way around.
// Flops: 4 width a pair; bytes: q, output, and k and v once for each block of queries, mostly from
// L2: 128 queries and 64 columns make 64 flops a byte there. Bound: tensor cores; where short, the
// special function unit (a power a pair: at width 64 a half of the tensor cores' time on sm_80).
#include "kernels/attention_tiles.cuh"

namespace lockstep::kernels {
namespace {

using Pass = AttentionPass<__nv_bfloat16>;

// Keys between two rescalings; the widest heads leave registers for no more.
template <int kWidth>
constexpr int kKeysOf = kWidth == 128 ? 32 : 64;
// Blocks of 128 queries are used from this many on: two for each of 66 processors.
constexpr std::int64_t kLeastBlocks = 132;

// A row's largest score and this thread's part of its sum.
struct RowState {
  float largest = -INFINITY, sum = 0;
};

// Scores of one row of a tile in this thread: elements `first`, first + 1 of each.
template <int kCount>
__device__ inline float largest_of(const float (&scores)[kCount][4], int first, float start) {
  float largest = start;
#pragma unroll
  for (int j = 0; j < kCount; ++j)
    largest = fmaxf(largest, fmaxf(scores[j][first], scores[j][first + 1]));
  largest = fmaxf(largest, __shfl_xor_sync(kFullMask, largest, 1));
  return fmaxf(largest, __shfl_xor_sync(kFullMask, largest, 2));
}

template <int kWidth, int kTiles, bool kDrop>
__global__ void __launch_bounds__(kAttentionThreads, kWidth == 32 && !kDrop ? 3 : 2)
    attention_kernel(const Pass p) {
  using Tile = HeadTile<kWidth>;
  constexpr int kQueries = 64 * kTiles, kKeys = kKeysOf<kWidth>;
  extern __shared__ __align__(128) char shared[];
  const unsigned q_tile = shared_address(shared), k_tile = q_tile + kQueries * Tile::kRowBytes;
  const unsigned v_tile = k_tile + kKeys * Tile::kRowBytes;
  const int head = blockIdx.y;
  const std::int64_t sample = blockIdx.z;
  // Where causal, the last queries have most keys: they start first.
  const int first_query = (gridDim.x - 1 - blockIdx.x) * kQueries;
  const std::int64_t key_head = sample * p.kv_heads + head / p.group;
  const __nv_bfloat16* q = p.q + (sample * p.heads + head) * p.tokens * p.step;
  const __nv_bfloat16* k = p.k + key_head * p.capacity * p.step;
  const __nv_bfloat16* v = p.v + key_head * p.capacity * p.step;
  const int keys = p.causal ? min(p.keys, p.position + first_query + kQueries) : p.keys;

  Tile::template fetch<kQueries>(q_tile, q, first_query, p.tokens, p.step);
  Tile::template fetch<kKeys>(k_tile, k, 0, p.keys, p.step);
  commit_copies();

  const int warp_lane = threadIdx.x % kWarp, g = warp_lane / 4, t = warp_lane % 4;
  const int warp_row = threadIdx.x / kWarp * 16 * kTiles;  // in the tile
  float sums[kTiles][kWidth / 8][4] = {};
  RowState rows[kTiles][2];

  for (int key = 0; key < keys; key += kKeys) {
    wait_for_copies<0>();
    __syncthreads();  // keys are there; all are done with the values before
    Tile::template fetch<kKeys>(v_tile, v, key, p.keys, p.step);
    commit_copies();
    float scores[kTiles][kKeys / 8][4] = {};
    multiply_rows<kWidth, kTiles, kKeys>(scores, q_tile, warp_row, k_tile);
    wait_for_copies<0>();
    __syncthreads();  // values are there; all are done with the keys
    if (key + kKeys < keys) Tile::template fetch<kKeys>(k_tile, k, key + kKeys, p.keys, p.step);
    commit_copies();

    const int last_key = key + kKeys - 1;
    const bool edge =
        last_key >= p.keys || (p.causal && last_key > p.position + first_query + warp_row);
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const int row = first_query + warp_row + 16 * i + g;
      if (edge) {
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int column = key + 8 * j + 2 * t + e % 2;
            const bool seen =
                column < p.keys && (!p.causal || column <= p.position + row + e / 2 * 8);
            if (!seen) scores[i][j][e] = -INFINITY;
          }
        }
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        RowState& state = rows[i][half];
        const float largest = largest_of(scores[i], 2 * half, state.largest);
        const float shift = largest * p.scale_log2;
        // Exactly 1 where the largest stays, so that keys not seen change nothing; 0 at first.
        const float shrink = power_of_two(state.largest * p.scale_log2 - shift);
        state.largest = largest;
        state.sum *= shrink;
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
          for (int e = 2 * half; e < 2 * half + 2; ++e) {
            scores[i][j][e] = power_of_two(fmaf(scores[i][j][e], p.scale_log2, -shift));
            state.sum += scores[i][j][e];
          }
        }
        // Few blocks of keys have a row's largest score: most of the time all factors are 1.
        if (__any_sync(kFullMask, shrink != 1.0f)) {
#pragma unroll
          for (int j = 0; j < kWidth / 8; ++j) {
            sums[i][j][2 * half] *= shrink;
            sums[i][j][2 * half + 1] *= shrink;
          }
        }
      }
      if constexpr (kDrop) {
        const AttentionDropout dropout(p, sample, head);
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j) {
          float keep[4];
          dropout.across(keep, row, key + 8 * j + 2 * t);
#pragma unroll
          for (int e = 0; e < 4; ++e) scores[i][j][e] *= keep[e];
        }
      }
    }
    multiply_columns<kWidth, kTiles, kKeys>(sums, scores, v_tile);
  }

#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_query + warp_row + 16 * i + 8 * half + g;
      const RowState& state = rows[i][half];
      float sum = state.sum;
      sum += __shfl_xor_sync(kFullMask, sum, 1);
      sum += __shfl_xor_sync(kFullMask, sum, 2);
      if (row >= p.tokens) continue;
      const float inverse = 1.0f / sum;
      float* to = p.output + ((sample * p.tokens + row) * p.heads + head) * p.width;
#pragma unroll
      for (int j = 0; j < kWidth / 8; ++j) {
        const int column = 8 * j + 2 * t;
        const float a = sums[i][j][2 * half] * inverse, b = sums[i][j][2 * half + 1] * inverse;
        if (p.width % 2 == 0) {
          if (column < p.width) store(to + column, Pack<float, 2>{a, b});
        } else {
          if (column < p.width) to[column] = a;
          if (column + 1 < p.width) to[column + 1] = b;
        }
      }
      if (t == 0 && p.to_log_sums != nullptr) {
        p.to_log_sums[(sample * p.heads + head) * p.tokens + row] =
            state.largest * p.scale_log2 + log2f(sum);
      }
    }
  }
}

template <int kWidth, int kTiles, bool kDrop>
void launch(const Pass& p, std::int64_t samples, cudaStream_t stream) {
  constexpr int kBytes = (64 * kTiles + 2 * kKeysOf<kWidth>)*HeadTile<kWidth>::kRowBytes;
  const auto kernel = attention_kernel<kWidth, kTiles, kDrop>;
  if constexpr (kBytes > 48 * 1024)
    allow_shared_memory(reinterpret_cast<const void*>(kernel), kBytes, "attention_forward bf16");
  const dim3 grid(static_cast<unsigned>(blocks_for(p.tokens, 64 * kTiles)),
                  static_cast<unsigned>(p.heads), static_cast<unsigned>(samples));
  kernel<<<grid, kAttentionThreads, kBytes, stream>>>(p);
}

template <int kWidth, bool kDrop>
void launch(const Pass& p, std::int64_t samples, cudaStream_t stream) {
  // With dropout Philox is the bound, heads of 32 are rare, and those of 128 leave no registers.
  constexpr int kMost = !kDrop && kWidth == 64 ? 2 : 1;
  if (blocks_for(p.tokens, 128) * p.heads * samples < kLeastBlocks) {
    launch<kWidth, 1, kDrop>(p, samples, stream);
  } else {
    launch<kWidth, kMost, kDrop>(p, samples, stream);
  }
}

}  // namespace

void attention_forward(const AttentionShape& s, const __nv_bfloat16* q, const __nv_bfloat16* k,
                       const __nv_bfloat16* v, float* output, float* log_sums,
                       cudaStream_t stream) {
  require_capability(80, "attention bf16");
  require_argument(s.width <= kMostBf16Width, "width of attention in bf16");
  const Pass p = forward_pass(s, q, k, v, output, log_sums);
  for_tuned_width(s.width, [&](auto width) {
    if (s.random != nullptr) {
      launch<decltype(width)::value, true>(p, s.samples, stream);
    } else {
      launch<decltype(width)::value, false>(p, s.samples, stream);
    }
  });
  check_launch("attention_forward bf16");
}

}  // namespace lockstep::kernels
