// What all kernels of attention are told, and the factors of dropout where they need them.
#pragma once
#include <cmath>

#include "kernels/attention.h"
#include "kernels/common.cuh"
#include "kernels/launch.h"
#include "kernels/philox.cuh"
#include "kernels/rotary.h"

namespace lockstep::kernels {

struct AttentionSizes {
  int tokens, keys, heads, kv_heads, group, width, step, position;
  std::int64_t capacity;
  bool causal;
  float scale, scale_log2;  // 1 / sqrt(width), and times log2(e)
  const RandomKey* random;
  std::uint32_t op, threshold;
  float keep_scale;
};

template <class T>
struct AttentionPass : AttentionSizes {
  const T *q, *k, *v, *d_output;
  const float *log_sums, *dots;  // of backward
  float *output, *to_log_sums;   // of forward
  float *d_q, *d_k, *d_v;
};

template <class T>
AttentionPass<T> attention_pass(const AttentionShape& s) {
  require_argument(s.samples > 0 && s.samples < 65536 && s.heads > 0 && s.heads < 65536 &&
                       s.kv_heads > 0 && s.heads % s.kv_heads == 0 && s.tokens > 0 &&
                       s.position >= 0 && s.width > 0 && s.position + s.tokens < 0x7FFFF000,
                   "sizes of attention");
  AttentionPass<T> p{};
  p.tokens = static_cast<int>(s.tokens);
  p.position = static_cast<int>(s.position);
  p.keys = p.position + p.tokens;
  p.heads = static_cast<int>(s.heads);
  p.kv_heads = static_cast<int>(s.kv_heads);
  p.group = p.heads / p.kv_heads;
  p.width = static_cast<int>(s.width);
  p.step = static_cast<int>(head_step<T>(s.width));
  p.capacity = s.capacity > 0 ? s.capacity : s.tokens;
  require_argument(p.keys <= p.capacity, "rows of keys of attention");
  p.causal = s.causal;
  const double scale = 1 / std::sqrt(static_cast<double>(s.width));
  p.scale = static_cast<float>(scale);
  p.scale_log2 = static_cast<float>(scale * 1.4426950408889634);
  p.random = s.random;
  p.op = s.op;
  p.threshold = s.threshold;
  p.keep_scale = s.keep_scale;
  return p;
}

template <class T>
AttentionPass<T> forward_pass(const AttentionShape& s, const T* q, const T* k, const T* v,
                              float* output, float* log_sums) {
  AttentionPass<T> p = attention_pass<T>(s);
  p.q = q;
  p.k = k;
  p.v = v;
  p.output = output;
  p.to_log_sums = log_sums;
  return p;
}

template <class T>
AttentionPass<T> backward_pass(const AttentionShape& s, const T* q, const T* k, const T* v,
                               const T* d_output_heads, const float* log_sums, const float* dots,
                               const AttentionGradients& to) {
  AttentionPass<T> p = attention_pass<T>(s);
  p.q = q;
  p.k = k;
  p.v = v;
  p.d_output = d_output_heads;
  p.log_sums = log_sums;
  p.dots = dots;
  p.d_q = to.d_q;
  p.d_k = to.d_k;
  p.d_v = to.d_v;
  return p;
}

// 2^x to 2^-22; what would be subnormal is 0. One instruction.
__device__ inline float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// One element's word. A call, not in line: ten rounds of Philox at each use would be most of a
// kernel.
__device__ __noinline__ inline unsigned random_word(const RandomKey& key, std::uint32_t op,
                                                    std::uint64_t element) {
  const uint4 w = random_words(key, op, element / 4);
  const unsigned low = element & 1 ? w.y : w.x, high = element & 1 ? w.w : w.z;
  return element & 2 ? high : low;
}

// The factors of dropout. Philox gives four words for the elements [4 b, 4 b + 4): where tokens are
// a multiple of 4 each block is drawn by one thread and handed to those that hold its elements;
// otherwise each element draws its own, four times as slow.
class AttentionDropout {
 public:
  __device__ AttentionDropout(const AttentionSizes& p, std::int64_t sample, std::int64_t head)
      : key_(*p.random),
        first_((sample * p.heads + head) * p.tokens * p.tokens),
        op_(p.op),
        threshold_(p.threshold),
        keep_scale_(p.keep_scale),
        tokens_(p.tokens) {}

  // Of the elements of one row (query) at four columns (keys), the first a multiple of 4.
  __device__ void four(float (&keep)[4], int row, int column) const {
    const std::uint64_t at = element(row, column);
    if (tokens_ % 4 == 0) {
      const uint4 w = random_words(key_, op_, at / 4);
      keep[0] = factor(w.x), keep[1] = factor(w.y), keep[2] = factor(w.z), keep[3] = factor(w.w);
    } else {
#pragma unroll
      for (int e = 0; e < 4; ++e) keep[e] = one(at + e);
    }
  }

  // Of the elements of C at rows (queries) and columns (keys): (row, column), (row, column + 1),
  // and 8 rows further; row and column are this thread's, column = 8 x + 2 (warp_lane % 4).
  __device__ void across(float (&keep)[4], int row, int column) const {
    const std::uint64_t upper = element(row, column), lower = element(row + 8, column);
    if (tokens_ % 4 != 0) {
      keep[0] = one(upper), keep[1] = one(upper + 1);
      keep[2] = one(lower), keep[3] = one(lower + 1);
      return;
    }
    const bool odd = threadIdx.x & 1;
    const uint4 w = random_words(key_, op_, (odd ? lower : upper) / 4);
    const unsigned other0 = __shfl_xor_sync(kFullMask, odd ? w.x : w.z, 1);
    const unsigned other1 = __shfl_xor_sync(kFullMask, odd ? w.y : w.w, 1);
    keep[0] = factor(odd ? other0 : w.x);
    keep[1] = factor(odd ? other1 : w.y);
    keep[2] = factor(odd ? w.z : other0);
    keep[3] = factor(odd ? w.w : other1);
  }

  // The same of C transposed, rows are keys: (key, query), (key, query + 1), and 8 keys further;
  // key = 8 x + warp_lane / 4.
  __device__ void down(float (&keep)[4], int key, int query) const {
    if (tokens_ % 4 != 0) {
      keep[0] = one(element(query, key));
      keep[1] = one(element(query + 1, key));
      keep[2] = one(element(query, key + 8));
      keep[3] = one(element(query + 1, key + 8));
      return;
    }
    // Threads of four keys draw one of keep's four blocks each; then a 4 x 4 transposition.
    const int mine = threadIdx.x / 4 % 4;
    const std::uint64_t at = element(query + mine % 2, key + mine / 2 * 8);
    const uint4 w = random_words(key_, op_, at / 4);
    unsigned word[4] = {w.x, w.y, w.z, w.w};
    swap_halves(word[0], word[1], mine & 1, 4);
    swap_halves(word[2], word[3], mine & 1, 4);
    swap_halves(word[0], word[2], mine & 2, 8);
    swap_halves(word[1], word[3], mine & 2, 8);
#pragma unroll
    for (int i = 0; i < 4; ++i) keep[i] = factor(word[i]);
  }

 private:
  __device__ std::uint64_t element(int query, int key) const {
    return first_ + static_cast<std::int64_t>(query) * tokens_ + key;
  }
  __device__ float factor(unsigned word) const { return word >= threshold_ ? keep_scale_ : 0.0f; }
  __device__ float one(std::uint64_t at) const { return factor(random_word(key_, op_, at)); }
  __device__ static void swap_halves(unsigned& a, unsigned& b, bool upper, int distance) {
    const unsigned got = __shfl_xor_sync(kFullMask, upper ? a : b, distance);
    if (upper)
      a = got;
    else
      b = got;
  }

  RandomKey key_;
  std::int64_t first_;
  std::uint32_t op_, threshold_;
  float keep_scale_;
  int tokens_;
};

}  // namespace lockstep::kernels
