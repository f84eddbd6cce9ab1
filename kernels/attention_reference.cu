// Attention from its definition (Vaswani et al. 2017, eq. 1): a thread a row, scores computed again
// wherever they are needed. What the kernels in blocks are compared with.
#include "kernels/attention_pass.cuh"

namespace lockstep::kernels {
namespace {

using Pass = AttentionPass<float>;
constexpr int kThreads = 64;

struct Row {
  std::int64_t sample;
  int head, token;
  bool there;
};
__device__ Row row_of_thread(const Pass& p, int heads, std::int64_t rows) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  return {i / p.tokens / heads, static_cast<int>(i / p.tokens % heads),
          static_cast<int>(i % p.tokens), i < rows};
}
__device__ const float* query_row(const Pass& p, const float* all, std::int64_t sample, int head,
                                  int token) {
  return all + ((sample * p.heads + head) * p.tokens + token) * p.step;
}
__device__ const float* key_row(const Pass& p, const float* all, std::int64_t sample, int head,
                                int key) {
  return all + ((sample * p.kv_heads + head / p.group) * p.capacity + key) * p.step;
}
__device__ float dot(const Pass& p, const float* a, const float* b) {
  float sum = 0;
  for (int i = 0; i < p.width; ++i) sum = fmaf(a[i], b[i], sum);
  return sum;
}
__device__ float factor_of(const Pass& p, std::int64_t sample, int head, int token, int key) {
  if (p.random == nullptr) return 1;
  float keep[4];
  AttentionDropout(p, sample, head).four(keep, token, key / 4 * 4);
  return keep[key % 4];
}
__device__ int keys_of(const Pass& p, int token) {
  return p.causal ? p.position + token + 1 : p.keys;
}

__global__ void forward_naive(const Pass p, std::int64_t rows) {
  const Row r = row_of_thread(p, p.heads, rows);
  if (!r.there) return;
  const float* q = query_row(p, p.q, r.sample, r.head, r.token);
  float* to = p.output + ((r.sample * p.tokens + r.token) * p.heads + r.head) * p.width;
  for (int i = 0; i < p.width; ++i) to[i] = 0;
  const int keys = keys_of(p, r.token);
  float largest = -INFINITY, sum = 0;
  for (int key = 0; key < keys; ++key) {
    const float* k = key_row(p, p.k, r.sample, r.head, key);
    largest = max_nan(largest, dot(p, q, k) * p.scale);
  }
  for (int key = 0; key < keys; ++key) {
    const float score = dot(p, q, key_row(p, p.k, r.sample, r.head, key)) * p.scale;
    const float weight = expf(score - largest);
    sum += weight;
    const float kept = weight * factor_of(p, r.sample, r.head, r.token, key);
    const float* v = key_row(p, p.v, r.sample, r.head, key);
    for (int i = 0; i < p.width; ++i) to[i] = fmaf(kept, v[i], to[i]);
  }
  for (int i = 0; i < p.width; ++i) to[i] /= sum;
  if (p.to_log_sums != nullptr) {
    p.to_log_sums[(r.sample * p.heads + r.head) * p.tokens + r.token] =
        largest * 1.44269504f + log2f(sum);
  }
}

struct Pair {
  float weight, d_score;  // after dropout; of the scaled score
};
__device__ Pair pair_of(const Pass& p, std::int64_t sample, int head, int token, int key) {
  const std::int64_t row = (sample * p.heads + head) * p.tokens + token;
  const float score =
      dot(p, query_row(p, p.q, sample, head, token), key_row(p, p.k, sample, head, key));
  const float weight = exp2f(score * p.scale_log2 - p.log_sums[row]);
  const float factor = factor_of(p, sample, head, token, key);
  const float d_weight =
      dot(p, query_row(p, p.d_output, sample, head, token), key_row(p, p.v, sample, head, key));
  return {weight * factor, weight * (d_weight * factor - p.dots[row])};
}

__global__ void queries_naive(const Pass p, std::int64_t rows) {
  const Row r = row_of_thread(p, p.heads, rows);
  if (!r.there) return;
  float* to = p.d_q + ((r.sample * p.heads + r.head) * p.tokens + r.token) * p.step;
  for (int i = 0; i < p.step; ++i) to[i] = 0;
  for (int key = 0; key < keys_of(p, r.token); ++key) {
    const float d_score = pair_of(p, r.sample, r.head, r.token, key).d_score * p.scale;
    const float* k = key_row(p, p.k, r.sample, r.head, key);
    for (int i = 0; i < p.width; ++i) to[i] = fmaf(d_score, k[i], to[i]);
  }
}

__global__ void keys_naive(const Pass p, std::int64_t rows) {
  const Row r = row_of_thread(p, p.kv_heads, rows);
  if (!r.there) return;
  const std::int64_t at = ((r.sample * p.kv_heads + r.head) * p.tokens + r.token) * p.step;
  for (int i = 0; i < p.step; ++i) p.d_k[at + i] = p.d_v[at + i] = 0;
  for (int head = r.head * p.group; head < (r.head + 1) * p.group; ++head) {
    for (int token = p.causal ? r.token : 0; token < p.tokens; ++token) {
      const Pair pair = pair_of(p, r.sample, head, token, r.token);
      const float* q = query_row(p, p.q, r.sample, head, token);
      const float* d = query_row(p, p.d_output, r.sample, head, token);
      for (int i = 0; i < p.width; ++i) {
        p.d_k[at + i] = fmaf(pair.d_score * p.scale, q[i], p.d_k[at + i]);
        p.d_v[at + i] = fmaf(pair.weight, d[i], p.d_v[at + i]);
      }
    }
  }
}

unsigned blocks_of(std::int64_t rows) { return static_cast<unsigned>(blocks_for(rows, kThreads)); }

}  // namespace

void attention_forward_reference(const AttentionShape& s, const float* q, const float* k,
                                 const float* v, float* output, float* log_sums,
                                 cudaStream_t stream) {
  const Pass p = forward_pass(s, q, k, v, output, log_sums);
  const std::int64_t rows = s.samples * s.heads * s.tokens;
  forward_naive<<<blocks_of(rows), kThreads, 0, stream>>>(p, rows);
  check_launch("attention_forward_reference");
}

void attention_backward_reference(const AttentionShape& s, const float* q, const float* k,
                                  const float* v, const float* d_output_heads,
                                  const float* log_sums, const float* dots,
                                  const AttentionGradients& to, cudaStream_t stream) {
  const Pass p = backward_pass(s, q, k, v, d_output_heads, log_sums, dots, to);
  const std::int64_t rows = s.samples * s.heads * s.tokens;
  const std::int64_t key_rows = s.samples * s.kv_heads * s.tokens;
  queries_naive<<<blocks_of(rows), kThreads, 0, stream>>>(p, rows);
  keys_naive<<<blocks_of(key_rows), kThreads, 0, stream>>>(p, key_rows);
  check_launch("attention_backward_reference");
}

}  // namespace lockstep::kernels
