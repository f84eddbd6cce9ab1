// From the projection of a token to queries, keys and values by head, rotated (Su et al. 2021), and
// the gradients' way back. Knows nothing of attention itself.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace lockstep::kernels {

// Elements of a row of a head: the width rounded up to 16 bytes; the rest is zero.
template <class T>
constexpr std::int64_t head_step(std::int64_t width) {
  constexpr std::int64_t unit = 16 / sizeof(T);
  return (width + unit - 1) / unit * unit;
}

struct HeadsShape {
  std::int64_t samples, tokens, heads, kv_heads, width;
  // Keys and values are rows [position, position + tokens) of `capacity` rows a key head; 0:
  // tokens.
  std::int64_t position = 0, capacity = 0;
  // [positions][width]: the cosines of the width / 2 angles of a position, then the sines, for
  // pairs (i, i + width / 2). Null: not rotated. Row 0 is position 0.
  const float* rotation = nullptr;
};

// qkv [samples, tokens, heads + 2 kv_heads, width] to q [samples, heads, tokens, step] and k, v
// [samples, kv_heads, capacity, step], queries and keys rotated by their position in fp32, then
// rounded to T. Moves 4 + sizeof(T) bytes an element.
void split_heads(const HeadsShape& s, const float* qkv, float* q, float* k, float* v,
                 cudaStream_t stream);
void split_heads(const HeadsShape& s, const float* qkv, __nv_bfloat16* q, __nv_bfloat16* k,
                 __nv_bfloat16* v, cudaStream_t stream);
// One thread an element.
void split_heads_reference(const HeadsShape& s, const float* qkv, float* q, float* k, float* v,
                           cudaStream_t stream);

// The other way, gradients rotated back: d_q, d_k, d_v of rows of `step` to d_qkv; position 0,
// capacity = tokens. Moves 8 bytes an element.
void merge_head_gradients(const HeadsShape& s, std::int64_t step, const float* d_q,
                          const float* d_k, const float* d_v, float* d_qkv, cudaStream_t stream);
void merge_head_gradients_reference(const HeadsShape& s, std::int64_t step, const float* d_q,
                                    const float* d_k, const float* d_v, float* d_qkv,
                                    cudaStream_t stream);

}  // namespace lockstep::kernels
