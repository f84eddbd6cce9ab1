// A thread owns V neighbouring columns i of a head's row and the V columns i + half that they are
// rotated with, half = width / 2 rounded up: 16-byte accesses where half is a multiple of 4. A
// token's cosines and sines are read once a head, from L1 after the first. Bound: memory.
#include <type_traits>

#include "kernels/common.cuh"
#include "kernels/launch.h"
#include "kernels/rotary.h"

namespace lockstep::kernels {
namespace {

constexpr int kThreads = 256;

struct Heads {
  std::int64_t rows;  // samples * tokens * (heads + 2 kv_heads)
  int tokens, heads, kv_heads, width, half, step, units;
  std::int64_t position, capacity;
  const float* rotation;
};

// Row `row` of qkv: part 0 queries, 1 keys, 2 values; `place`: its row number in that part.
struct HeadRow {
  int part, token;
  std::int64_t place;
};

__device__ inline HeadRow head_row(const Heads& p, std::int64_t row) {
  const int slots = p.heads + 2 * p.kv_heads, slot = static_cast<int>(row % slots);
  const std::int64_t at = row / slots, sample = at / p.tokens;
  const int token = static_cast<int>(at % p.tokens);
  if (slot < p.heads) return {0, token, (sample * p.heads + slot) * p.tokens + token};
  const int part = slot < p.heads + p.kv_heads ? 1 : 2;
  const int head = slot - p.heads - (part - 1) * p.kv_heads;
  return {part, token, (sample * p.kv_heads + head) * p.capacity + p.position + token};
}

// The pairs (a, b) turned by their angles; sign -1: back.
template <int V>
__device__ inline void turn(const Heads& p, const HeadRow& at, int i, float sign, float (&a)[V],
                            float (&b)[V]) {
  if (p.rotation == nullptr || at.part == 2) return;
  const float* angles = p.rotation + (p.position + at.token) * p.width;
  const auto cosines = load<Pack<float, V>>(angles + i);
  const auto sines = load<Pack<float, V>>(angles + p.half + i);
#pragma unroll
  for (int e = 0; e < V; ++e) {
    const float c = cosines.at[e], s = sign * sines.at[e], x = a[e], y = b[e];
    a[e] = fmaf(x, c, -(y * s));
    b[e] = fmaf(x, s, y * c);
  }
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    split_kernel(const Heads p, const float* qkv, T* q, T* k, T* v) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::int64_t row = thread / p.units;
  if (row >= p.rows) return;
  const int i = static_cast<int>(thread % p.units) * V;
  const HeadRow at = head_row(p, row);
  const bool pair = i + p.half < p.width;  // else the middle column of an odd width
  const float* from = qkv + row * p.width + i;
  float a[V], b[V] = {};
  const auto low = load<Pack<float, V>>(from);
#pragma unroll
  for (int e = 0; e < V; ++e) a[e] = low.at[e];
  if (pair) {
    const auto high = load<Pack<float, V>>(from + p.half);
#pragma unroll
    for (int e = 0; e < V; ++e) b[e] = high.at[e];
  }
  turn<V>(p, at, i, 1, a, b);
  T* to = (at.part == 0 ? q : at.part == 1 ? k : v) + at.place * p.step;
  Pack<T, V> out_a, out_b;
#pragma unroll
  for (int e = 0; e < V; ++e) {
    out_a.at[e] = from_float<T>(a[e]);
    out_b.at[e] = from_float<T>(b[e]);
  }
  store(to + i, out_a);
  if (pair) store(to + i + p.half, out_b);
  if (i == 0) {
    for (int c = p.width; c < p.step; ++c) to[c] = from_float<T>(0.0f);
  }
}

template <int V>
__global__ void __launch_bounds__(kThreads)
    merge_kernel(const Heads p, const float* d_q, const float* d_k, const float* d_v,
                 float* d_qkv) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::int64_t row = thread / p.units;
  if (row >= p.rows) return;
  const int i = static_cast<int>(thread % p.units) * V;
  const HeadRow at = head_row(p, row);
  const bool pair = i + p.half < p.width;
  const float* from = (at.part == 0 ? d_q : at.part == 1 ? d_k : d_v) + at.place * p.step + i;
  Pack<float, V> a = load<Pack<float, V>>(from), b{};
  if (pair) b = load<Pack<float, V>>(from + p.half);
  turn<V>(p, at, i, -1, a.at, b.at);
  float* to = d_qkv + row * p.width + i;
  store(to, a);
  if (pair) store(to + p.half, b);
}

// One thread a column of a row; its partner's value is read from memory.
__device__ float turned(const Heads& p, const HeadRow& at, const float* row, int i, float sign) {
  if (p.rotation == nullptr || at.part == 2) return row[i];
  const bool low = i < p.half;
  const int pair = low ? i : i - p.half;
  const float* angles = p.rotation + (p.position + at.token) * p.width;
  const float c = angles[pair], s = sign * angles[p.half + pair];
  const float x = row[pair], y = row[pair + p.half];
  return low ? fmaf(x, c, -(y * s)) : fmaf(x, s, y * c);
}

__global__ void split_naive(const Heads p, const float* qkv, float* q, float* k, float* v) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (thread >= p.rows * p.step) return;
  const std::int64_t row = thread / p.step;
  const int i = static_cast<int>(thread % p.step);
  const HeadRow at = head_row(p, row);
  float* to = (at.part == 0 ? q : at.part == 1 ? k : v) + at.place * p.step;
  to[i] = i < p.width ? turned(p, at, qkv + row * p.width, i, 1) : 0.0f;
}

__global__ void merge_naive(const Heads p, const float* d_q, const float* d_k, const float* d_v,
                            float* d_qkv) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (thread >= p.rows * p.width) return;
  const std::int64_t row = thread / p.width;
  const int i = static_cast<int>(thread % p.width);
  const HeadRow at = head_row(p, row);
  const float* from = (at.part == 0 ? d_q : at.part == 1 ? d_k : d_v) + at.place * p.step;
  d_qkv[thread] = turned(p, at, from, i, -1);
}

Heads heads_of(const HeadsShape& s, std::int64_t step) {
  require_argument(s.rotation == nullptr || s.width % 2 == 0, "odd width of heads that rotate");
  Heads p{};
  p.rows = s.samples * s.tokens * (s.heads + 2 * s.kv_heads);
  p.tokens = static_cast<int>(s.tokens);
  p.heads = static_cast<int>(s.heads);
  p.kv_heads = static_cast<int>(s.kv_heads);
  p.width = static_cast<int>(s.width);
  p.half = (p.width + 1) / 2;
  p.step = static_cast<int>(step);
  p.units = p.half % 4 == 0 && p.width % 4 == 0 ? p.half / 4 : p.half;
  p.position = s.position;
  p.capacity = s.capacity > 0 ? s.capacity : s.tokens;
  p.rotation = s.rotation;
  return p;
}

unsigned blocks_of(std::int64_t threads) {
  const std::int64_t blocks = blocks_for(threads, kThreads);
  require_argument(blocks < 0x7FFFFFFF, "elements of heads");
  return static_cast<unsigned>(blocks);
}

template <class T>
void split(const HeadsShape& s, const float* qkv, T* q, T* k, T* v, cudaStream_t stream) {
  const Heads p = heads_of(s, head_step<T>(s.width));
  if (p.rows == 0) return;
  const unsigned blocks = blocks_of(p.rows * p.units);
  if (p.units < p.half) {
    split_kernel<T, 4><<<blocks, kThreads, 0, stream>>>(p, qkv, q, k, v);
  } else {
    split_kernel<T, 1><<<blocks, kThreads, 0, stream>>>(p, qkv, q, k, v);
  }
  check_launch("split_heads");
}

}  // namespace

void split_heads(const HeadsShape& s, const float* qkv, float* q, float* k, float* v,
                 cudaStream_t stream) {
  split(s, qkv, q, k, v, stream);
}
void split_heads(const HeadsShape& s, const float* qkv, __nv_bfloat16* q, __nv_bfloat16* k,
                 __nv_bfloat16* v, cudaStream_t stream) {
  split(s, qkv, q, k, v, stream);
}

void split_heads_reference(const HeadsShape& s, const float* qkv, float* q, float* k, float* v,
                           cudaStream_t stream) {
  const Heads p = heads_of(s, head_step<float>(s.width));
  if (p.rows == 0) return;
  split_naive<<<blocks_of(p.rows * p.step), kThreads, 0, stream>>>(p, qkv, q, k, v);
  check_launch("split_heads_reference");
}

void merge_head_gradients(const HeadsShape& s, std::int64_t step, const float* d_q,
                          const float* d_k, const float* d_v, float* d_qkv, cudaStream_t stream) {
  const Heads p = heads_of(s, step);
  if (p.rows == 0) return;
  const unsigned blocks = blocks_of(p.rows * p.units);
  if (p.units < p.half) {
    merge_kernel<4><<<blocks, kThreads, 0, stream>>>(p, d_q, d_k, d_v, d_qkv);
  } else {
    merge_kernel<1><<<blocks, kThreads, 0, stream>>>(p, d_q, d_k, d_v, d_qkv);
  }
  check_launch("merge_head_gradients");
}

void merge_head_gradients_reference(const HeadsShape& s, std::int64_t step, const float* d_q,
                                    const float* d_k, const float* d_v, float* d_qkv,
                                    cudaStream_t stream) {
  const Heads p = heads_of(s, step);
  if (p.rows == 0) return;
  merge_naive<<<blocks_of(p.rows * p.width), kThreads, 0, stream>>>(p, d_q, d_k, d_v, d_qkv);
  check_launch("merge_head_gradients_reference");
}

}  // namespace lockstep::kernels
