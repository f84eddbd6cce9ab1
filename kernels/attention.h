// Attention over blocks with an online softmax (Dao et al. 2022, 2023): no matrix of tokens x
// tokens is stored. Knows nothing of projections, rotations or ops. No atomics: every sum has one
// order, which depends on neither the device nor the number of queries at hand, so that a query's
// row has the same bits in a whole sequence and after a cache.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "lockstep/core/philox.h"

namespace lockstep::kernels {

// q [samples, heads, tokens, step]; k, v [samples, kv_heads, capacity, step], of which rows
// [0, position + tokens) count; step = head_step<T>(width) (kernels/rotary.h), the rest of a row
// zero. Query head h reads key head h / (heads / kv_heads). Causal: query t sees keys
// [0, position + t].
struct AttentionShape {
  std::int64_t samples, tokens, heads, kv_heads, width;
  bool causal = true;
  std::int64_t position = 0, capacity = 0;  // capacity 0: tokens

  // Dropout of the probabilities where random is not null: element
  // ((sample * heads + head) * tokens + t) * tokens + key is kept where its word >= threshold, and
  // then multiplied by keep_scale.
  const RandomKey* random = nullptr;  // on the device; its op field is not read
  std::uint32_t op = 0, threshold = 0;
  float keep_scale = 1;
};

constexpr std::int64_t kMostBf16Width = 128;  // wider heads: fp32

// output [samples, tokens, heads, width]; log_sums [samples, heads, tokens], base 2: of the scaled
// scores' powers, what backward needs; may be null. Scores, softmax and sums are fp32; bf16 rounds
// the probabilities (relative to their row's largest) before they meet the values.
// Flops: 4 width a pair. Bound: bf16 tensor cores (UserError below sm_80), fp32 the CUDA cores.
void attention_forward(const AttentionShape& s, const __nv_bfloat16* q, const __nv_bfloat16* k,
                       const __nv_bfloat16* v, float* output, float* log_sums, cudaStream_t stream);
void attention_forward(const AttentionShape& s, const float* q, const float* k, const float* v,
                       float* output, float* log_sums, cudaStream_t stream);

// Before backward: dots [samples, heads, tokens] = rows of d_output . output, both [samples,
// tokens, heads, width], and d_output in T by heads, [samples, heads, tokens, step]. Moves 8 +
// sizeof(T) bytes an element.
void attention_dots(const AttentionShape& s, const float* output, const float* d_output,
                    float* dots, __nv_bfloat16* d_output_heads, cudaStream_t stream);
void attention_dots(const AttentionShape& s, const float* output, const float* d_output,
                    float* dots, float* d_output_heads, cudaStream_t stream);

// d_q like q, d_k and d_v like k and v, all fp32 rows of `step`; position 0, capacity = tokens.
// Probabilities are computed again, once for d_k and d_v and once for d_q: 14 width flops a pair.
// bf16 rounds probabilities and scores' gradients before their products.
struct AttentionGradients {
  float *d_q, *d_k, *d_v;
};
void attention_backward(const AttentionShape& s, const __nv_bfloat16* q, const __nv_bfloat16* k,
                        const __nv_bfloat16* v, const __nv_bfloat16* d_output_heads,
                        const float* log_sums, const float* dots, const AttentionGradients& to,
                        cudaStream_t stream);
void attention_backward(const AttentionShape& s, const float* q, const float* k, const float* v,
                        const float* d_output_heads, const float* log_sums, const float* dots,
                        const AttentionGradients& to, cudaStream_t stream);

// One thread a row, straight from the definition, in fp32.
void attention_forward_reference(const AttentionShape& s, const float* q, const float* k,
                                 const float* v, float* output, float* log_sums,
                                 cudaStream_t stream);
void attention_backward_reference(const AttentionShape& s, const float* q, const float* k,
                                  const float* v, const float* d_output_heads,
                                  const float* log_sums, const float* dots,
                                  const AttentionGradients& to, cudaStream_t stream);

}  // namespace lockstep::kernels
