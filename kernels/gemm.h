// Matrix products of bf16 factors with fp32 sums on tensor cores: the yardstick for, and the
// fallback from, cuBLASLt. Knows nothing of layers or ops. An element's sum runs over k in order,
// 16 at a time, for every size of m and n: rows keep their bits when others come or go.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace lockstep::kernels {

enum class GemmActivation : std::uint8_t { kNone, kRelu, kGelu, kGeluTanh, kSilu };

// C[m, n] = [C +] activation(A B + bias). Any m, n >= 0 and k >= 0, below 2^31.
//   y = x W^T    A = x [rows, in], B = W [out, in] with b_transposed
//   dx = dy W    A = dy [rows, out], B = W [out, in]
//   dW = dy^T x  A = dy [rows, out] with a_transposed, B = x [rows, in]
// Rows are `step` elements apart (0: packed). Factors whose address is a multiple of 16 bytes and
// whose step is a multiple of 8 are read 16 bytes at a time without passing registers; others work,
// several times slower.
struct GemmBf16 {
  std::int64_t m = 0, n = 0, k = 0;
  const __nv_bfloat16* a = nullptr;  // [m, k]; a_transposed: [k, m]
  const __nv_bfloat16* b = nullptr;  // [k, n]; b_transposed: [n, k]
  bool a_transposed = false, b_transposed = false;
  std::int64_t a_step = 0, b_step = 0, c_step = 0;
  const float* bias = nullptr;  // [n], or null
  GemmActivation activation = GemmActivation::kNone;
  bool accumulate = false;  // C is read and added to, last
};

// Flops: 2 m n k. Bytes at least: 2 (m k + k n) + 4 m n (8 m n where C is read). UserError below
// sm_80; A and B both transposed is not there.
void gemm_bf16(const GemmBf16& g, float* c, cudaStream_t stream);
void gemm_bf16(const GemmBf16& g, __nv_bfloat16* c, cudaStream_t stream);  // C rounded once, last
void gemm_bf16_reference(const GemmBf16& g, float* c, cudaStream_t stream);
void gemm_bf16_reference(const GemmBf16& g, __nv_bfloat16* c, cudaStream_t stream);

}  // namespace lockstep::kernels
