// A block of four warps owns a tile of C and walks along k in steps of 32 through a ring of four
// stages that cp.async fills three steps ahead. Tile 128 x 128 (warps of 64 x 64): per step of 16
// a warp reads 4 KiB of shared memory for 32 products of 2048 multiply-adds, half of what an sm_80
// can read in that time; L2 traffic is 1/64 byte a flop. Bound: tensor cores, from k of a few
// hundred on. Tile 64 x 64 (warps of 32 x 32) is for shapes with too few large tiles to fill a
// device. Stages are swizzled in chunks of 16 bytes so that ldmatrix and cp.async meet no bank
// conflicts. The tile goes through shared memory on its way out so that C moves 16 bytes a thread.
#include "kernels/common.cuh"
#include "kernels/gemm.h"
#include "kernels/launch.h"
#include "kernels/mma.cuh"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int kDepth = 32;  // k of a stage
constexpr int kStages = 4;
constexpr int kGroup = 8;  // tile rows that share columns of B while those are in L2
// With fewer tiles of 128 x 128 the smaller ones are used: two blocks for each of 66 processors.
constexpr std::int64_t kLeastTiles = 132;

struct Matrices {
  const __nv_bfloat16 *a, *b;
  const float* bias;
  void* c;
  std::int64_t a_step, b_step, c_step;
  int m, n, k, tile_rows, tile_columns;
  GemmActivation activation;
  bool accumulate, out_bf16, wide;  // wide: C can be moved four elements at a time
};

__device__ inline float activate(float x, GemmActivation activation) {
  switch (activation) {
    case GemmActivation::kRelu:
      return x < 0 ? 0.0f : x;
    case GemmActivation::kGelu:
      return 0.5f * x * (1 + erff(x * 0.70710678f));
    case GemmActivation::kGeluTanh: {
      const float inner = 0.79788456f * fmaf(0.044715f * x * x, x, x);
      return 0.5f * x * (1 + tanhf(inner));
    }
    case GemmActivation::kSilu:
      return x / (1 + expf(-x));
    default:
      return x;
  }
}

// One factor's part of a stage: kSize rows of C's side by kDepth of k. kDeep: k is the direction
// that is contiguous in memory, 4 chunks a row; else C's side is, kSize / 8 chunks a row of k.
template <int kSize, bool kDeep>
struct Tile {
  static constexpr int kBytes = kSize * kDepth * 2;
  static constexpr int kRowChunks = kDeep ? kDepth / 8 : kSize / 8;
  static constexpr int kChunks = kSize * kDepth / 8 / kThreads;  // a thread

  __device__ static unsigned place(int row, int chunk) {
    if constexpr (kDeep) return row * 64 + ((chunk ^ ((row >> 1) & 3)) << 4);
    return row * (kSize * 2) + ((chunk ^ (row & 7)) << 4);
  }

  // Elements [first, first + kSize) of `size` and [k, k + kDepth) of `depth`; zeros beyond.
  template <bool kAligned>
  __device__ static void fetch(unsigned to, char* to_generic, const __nv_bfloat16* from,
                               std::int64_t step, int first, int size, int k, int depth) {
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      const int chunk = threadIdx.x + i * kThreads;
      const int row = chunk / kRowChunks, column = chunk % kRowChunks;
      const int r = (kDeep ? first : k) + row, c = (kDeep ? k : first) + column * 8;
      const int rows = kDeep ? size : depth, columns = kDeep ? depth : size;
      const int count = r < rows ? max(0, min(8, columns - c)) : 0;
      const __nv_bfloat16* at = count > 0 ? from + r * step + c : from;
      const unsigned place_of_chunk = place(row, column);
      if constexpr (kAligned) {
        copy_async(to + place_of_chunk, at, 2 * count);
      } else {
        Pack16<__nv_bfloat16> pack;
#pragma unroll
        for (int e = 0; e < 8; ++e) pack.at[e] = e < count ? at[e] : __nv_bfloat16(0.0f);
        store(reinterpret_cast<__nv_bfloat16*>(to_generic + place_of_chunk), pack);
      }
    }
  }

  // Four 8 x 8 matrices: sides [first, +8), [first + 8, +8), and the k eight further, in the order
  // (0, 0), (8, 0), (0, 8), (8, 8) of (side, k); kSideLast: (0, 0), (0, 8), (8, 0), (8, 8).
  template <bool kSideLast>
  __device__ static void fragments(Word (&to)[4], unsigned tile, int first, int k) {
    const int warp_lane = threadIdx.x % kWarp, row = warp_lane % 8;
    const int low = warp_lane / 8 % 2 * 8, high = warp_lane / 16 * 8;
    const int side = first + (kSideLast ? high : low), depth = k + (kSideLast ? low : high);
    if constexpr (kDeep) {
      load_matrices<false>(to, tile + place(side + row, depth / 8));
    } else {
      load_matrices<true>(to, tile + place(depth + row, side / 8));
    }
  }
};

// Tiles in groups of kGroup rows, down the columns of a group.
__device__ inline void tile_of_block(const Matrices& p, int& row, int& column) {
  const int in_group = kGroup * p.tile_columns, group = blockIdx.x / in_group;
  const int rows = min(kGroup, p.tile_rows - group * kGroup), at = blockIdx.x % in_group;
  row = group * kGroup + at % rows;
  column = at / rows;
}

template <int kSize>
constexpr int kOutStep = kSize + 8;  // floats: threads of a quarter warp write distinct banks

template <int kSize>
constexpr int kSharedBytes =
    kStages * 2 * kSize* kDepth * 2 > kSize* kOutStep<kSize> * 4 ? kStages * 2 * kSize* kDepth * 2
                                                                 : kSize* kOutStep<kSize> * 4;

template <int kSize>
__device__ void write_tile(const Matrices& p, const float* tile, int first_row, int first_column) {
  for (int i = threadIdx.x; i < kSize * kSize / 4; i += kThreads) {
    const int r = i / (kSize / 4), c = i % (kSize / 4) * 4;
    const int row = first_row + r, column = first_column + c;
    const int count = row < p.m ? min(4, p.n - column) : 0;
    if (count <= 0) continue;
    Pack16<float> x = load<Pack16<float>>(tile + r * kOutStep<kSize> + c);
    const std::int64_t at = row * p.c_step + column;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float bias = p.bias != nullptr && e < count ? p.bias[column + e] : 0.0f;
      x.at[e] = activate(x.at[e] + bias, p.activation);
    }
    const auto write = [&](auto* c_at) {
      using T = std::remove_pointer_t<decltype(c_at)>;
      if (p.wide && count == 4) {
        Pack<T, 4> out;
        if (p.accumulate) {
          const auto old = load<Pack<T, 4>>(c_at);
#pragma unroll
          for (int e = 0; e < 4; ++e) x.at[e] = to_float(old.at[e]) + x.at[e];
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) out.at[e] = from_float<T>(x.at[e]);
        store(c_at, out);
        return;
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (e < count)
          c_at[e] = from_float<T>(p.accumulate ? to_float(c_at[e]) + x.at[e] : x.at[e]);
      }
    };
    if (p.out_bf16) {
      write(static_cast<__nv_bfloat16*>(p.c) + at);
    } else {
      write(static_cast<float*>(p.c) + at);
    }
  }
}

// Two blocks a processor: 128 threads of up to 255 registers, 68 KiB of shared memory each.
template <int kSize, bool kADeep, bool kBDeep, bool kAligned>
__global__ void __launch_bounds__(kThreads, 2) gemm_kernel(const Matrices p) {
  using A = Tile<kSize, kADeep>;
  using B = Tile<kSize, kBDeep>;
  constexpr int kTiles = kSize / 32;  // of 16 rows, and pairs of 8 columns, of a warp
  extern __shared__ __align__(128) char shared[];
  const unsigned base = shared_address(shared);
  const auto stage = [](int s) { return s * (A::kBytes + B::kBytes); };
  int tile_row, tile_column;
  tile_of_block(p, tile_row, tile_column);
  const int first_row = tile_row * kSize, first_column = tile_column * kSize;
  const int warp = threadIdx.x / kWarp, warp_lane = threadIdx.x % kWarp;
  const int warp_row = warp / 2 * (kSize / 2), warp_column = warp % 2 * (kSize / 2);
  const int steps = (p.k + kDepth - 1) / kDepth;

  const auto fetch = [&](int step) {
    if (step < steps) {
      const int at = stage(step % kStages), k = step * kDepth;
      A::template fetch<kAligned>(base + at, shared + at, p.a, p.a_step, first_row, p.m, k, p.k);
      B::template fetch<kAligned>(base + at + A::kBytes, shared + at + A::kBytes, p.b, p.b_step,
                                  first_column, p.n, k, p.k);
    }
    commit_copies();  // an empty group keeps the count
  };

  float sums[kTiles][2 * kTiles][4] = {};
  for (int s = 0; s < kStages - 1; ++s) fetch(s);
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // the stage is there for all, and all are done with the one before it
    fetch(step + kStages - 1);
    const unsigned a_at = base + stage(step % kStages), b_at = a_at + A::kBytes;
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
      Word a[kTiles][4], b[kTiles][4];
#pragma unroll
      for (int i = 0; i < kTiles; ++i)
        A::template fragments<false>(a[i], a_at, warp_row + 16 * i, k);
#pragma unroll
      for (int j = 0; j < kTiles; ++j)
        B::template fragments<true>(b[j], b_at, warp_column + 16 * j, k);
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
          mma_bf16(sums[i][2 * j], a[i], b[j][0], b[j][1]);
          mma_bf16(sums[i][2 * j + 1], a[i], b[j][2], b[j][3]);
        }
      }
    }
  }

  __syncthreads();  // no copies are under way: the last step has waited for all but empty groups
  float* out = reinterpret_cast<float*>(shared);
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 2 * kTiles; ++j) {
      const int row = warp_row + 16 * i + warp_lane / 4;
      const int column = warp_column + 8 * j + warp_lane % 4 * 2;
      const float(&sum)[4] = sums[i][j];
      store(out + row * kOutStep<kSize> + column, Pack<float, 2>{sum[0], sum[1]});
      store(out + (row + 8) * kOutStep<kSize> + column, Pack<float, 2>{sum[2], sum[3]});
    }
  }
  __syncthreads();
  write_tile<kSize>(p, out, first_row, first_column);
}

template <bool kATransposed, bool kBTransposed>
__global__ void gemm_naive(const Matrices p) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= static_cast<std::int64_t>(p.m) * p.n) return;
  const std::int64_t row = i / p.n, column = i % p.n;
  float sum = 0;
  for (int k = 0; k < p.k; ++k) {
    const float x = to_float(kATransposed ? p.a[k * p.a_step + row] : p.a[row * p.a_step + k]);
    const float y =
        to_float(kBTransposed ? p.b[column * p.b_step + k] : p.b[k * p.b_step + column]);
    sum = fmaf(x, y, sum);
  }
  sum = activate(sum + (p.bias != nullptr ? p.bias[column] : 0.0f), p.activation);
  const std::int64_t at = row * p.c_step + column;
  if (p.out_bf16) {
    auto* c = static_cast<__nv_bfloat16*>(p.c) + at;
    *c = from_float<__nv_bfloat16>(p.accumulate ? to_float(*c) + sum : sum);
  } else {
    float* c = static_cast<float*>(p.c) + at;
    *c = p.accumulate ? *c + sum : sum;
  }
}

bool aligned(const void* p, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(p) % bytes == 0;
}

Matrices matrices_of(const GemmBf16& g, void* c, bool out_bf16) {
  constexpr std::int64_t kMost = 0x7FFFFFFF - 256;
  require_argument(g.m >= 0 && g.n >= 0 && g.k >= 0 && g.m < kMost && g.n < kMost && g.k < kMost,
                   "sizes of a product");
  require_argument(!(g.a_transposed && g.b_transposed), "both factors of a product transposed");
  Matrices p{};
  p.a = g.a;
  p.b = g.b;
  p.bias = g.bias;
  p.c = c;
  p.a_step = g.a_step > 0 ? g.a_step : g.a_transposed ? g.m : g.k;
  p.b_step = g.b_step > 0 ? g.b_step : g.b_transposed ? g.k : g.n;
  p.c_step = g.c_step > 0 ? g.c_step : g.n;
  p.m = static_cast<int>(g.m);
  p.n = static_cast<int>(g.n);
  p.k = static_cast<int>(g.k);
  p.activation = g.activation;
  p.accumulate = g.accumulate;
  p.out_bf16 = out_bf16;
  p.wide = aligned(c, out_bf16 ? 8 : 16) && p.c_step % 4 == 0;
  return p;
}

template <int kSize, bool kADeep, bool kBDeep, bool kAligned>
void launch(Matrices p, cudaStream_t stream) {
  p.tile_rows = static_cast<int>(blocks_for(p.m, kSize));
  p.tile_columns = static_cast<int>(blocks_for(p.n, kSize));
  const auto kernel = gemm_kernel<kSize, kADeep, kBDeep, kAligned>;
  if constexpr (kSharedBytes < kSize >> 48 * 1024)
    allow_shared_memory(reinterpret_cast<const void*>(kernel), kSharedBytes<kSize>, "gemm_bf16");
  const std::int64_t blocks = static_cast<std::int64_t>(p.tile_rows) * p.tile_columns;
  require_argument(blocks < 0x7FFFFFFF, "tiles of a product");
  kernel<<<static_cast<unsigned>(blocks), kThreads, kSharedBytes<kSize>, stream>>>(p);
}

template <bool kADeep, bool kBDeep>
void launch(const Matrices& p, cudaStream_t stream) {
  // The slow path loads by elements, so that its tile matters little.
  if (!aligned(p.a, 16) || !aligned(p.b, 16) || p.a_step % 8 != 0 || p.b_step % 8 != 0) {
    launch<64, kADeep, kBDeep, false>(p, stream);
  } else if (blocks_for(p.m, 128) * blocks_for(p.n, 128) < kLeastTiles) {
    launch<64, kADeep, kBDeep, true>(p, stream);
  } else {
    launch<128, kADeep, kBDeep, true>(p, stream);
  }
}

void run(const GemmBf16& g, void* c, bool out_bf16, cudaStream_t stream) {
  require_capability(80, "gemm_bf16");
  if (g.m == 0 || g.n == 0) return;
  const Matrices p = matrices_of(g, c, out_bf16);
  if (g.a_transposed) {
    launch<false, false>(p, stream);
  } else if (g.b_transposed) {
    launch<true, true>(p, stream);
  } else {
    launch<true, false>(p, stream);
  }
  check_launch("gemm_bf16");
}

void run_reference(const GemmBf16& g, void* c, bool out_bf16, cudaStream_t stream) {
  if (g.m == 0 || g.n == 0) return;
  const Matrices p = matrices_of(g, c, out_bf16);
  const auto blocks = static_cast<unsigned>(blocks_for(g.m * g.n, kThreads));
  if (g.a_transposed) {
    gemm_naive<true, false><<<blocks, kThreads, 0, stream>>>(p);
  } else if (g.b_transposed) {
    gemm_naive<false, true><<<blocks, kThreads, 0, stream>>>(p);
  } else {
    gemm_naive<false, false><<<blocks, kThreads, 0, stream>>>(p);
  }
  check_launch("gemm_bf16_reference");
}

}  // namespace

void gemm_bf16(const GemmBf16& g, float* c, cudaStream_t stream) { run(g, c, false, stream); }
void gemm_bf16(const GemmBf16& g, __nv_bfloat16* c, cudaStream_t stream) {
  run(g, c, true, stream);
}
void gemm_bf16_reference(const GemmBf16& g, float* c, cudaStream_t stream) {
  run_reference(g, c, false, stream);
}
void gemm_bf16_reference(const GemmBf16& g, __nv_bfloat16* c, cudaStream_t stream) {
  run_reference(g, c, true, stream);
}

}  // namespace lockstep::kernels
