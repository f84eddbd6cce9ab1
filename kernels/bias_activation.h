// What surrounds a matrix product: y = dropout(act(z + bias)) + residual, and back. All matrices
// are [rows, columns], contiguous, on 16-byte boundaries. Column sums are taken in an order that
// the shape alone decides.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/dropout.h"
#include "lockstep/ops/op.h"

namespace lockstep::kernels {

// Forward moves 8 bytes an element (fp32 z and y), 4 more for the residual, 2 for the bf16 copy.
template <class Z>
struct BiasActivation {
  std::int64_t rows = 0, columns = 0;
  const Z* z = nullptr;
  const float* bias = nullptr;      // [columns], at any address; or null
  const float* residual = nullptr;  // or null; added last
  float* y = nullptr;               // may be z or residual; null: only y_bf16 is written
  __nv_bfloat16* y_bf16 = nullptr;  // y rounded to nearest even, for a product; or null
  ops::Activation activation = ops::Activation::kNone;
  float slope = 0.01f;  // of kLeakyRelu
  Drop drop;
};
void bias_activation(const BiasActivation<float>& a, cudaStream_t stream);
void bias_activation(const BiasActivation<__nv_bfloat16>& a, cudaStream_t stream);
void bias_activation_reference(const BiasActivation<float>& a, cudaStream_t stream);

// dz = dropout(dy) act'(from), d_bias = column sums of dz (of the fp32 numbers). Moves 12 bytes an
// element with an activation, 8 without, 4 for d_bias alone, 2 more for the bf16 copy.
template <class Z>
struct BiasActivationGradient {
  std::int64_t rows = 0, columns = 0;
  const float* dy = nullptr;
  // z (bias is then added again), or what the activation gave (bias null): kRelu and kLeakyRelu
  // take either, kTanh and kSigmoid the latter, the others the former. Not read for kNone.
  const Z* from = nullptr;
  const float* bias = nullptr;
  float* dz = nullptr;               // may be dy; or null
  __nv_bfloat16* dz_bf16 = nullptr;  // or null
  float* d_bias = nullptr;           // [columns], written; or null
  void* workspace = nullptr;         // bias_workspace_bytes() where there is d_bias
  ops::Activation activation = ops::Activation::kNone;
  float slope = 0.01f;
  Drop drop;
};
std::size_t bias_workspace_bytes(std::int64_t rows, std::int64_t columns);
void bias_activation_gradient(const BiasActivationGradient<float>& a, cudaStream_t stream);
void bias_activation_gradient(const BiasActivationGradient<__nv_bfloat16>& a, cudaStream_t stream);
void bias_activation_gradient_reference(const BiasActivationGradient<float>& a,
                                        cudaStream_t stream);

}  // namespace lockstep::kernels
