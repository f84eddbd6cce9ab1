// Passes over long vectors. Vectors are on 16-byte boundaries; an output may lie in the place of an
// input of the same type. Memory limits all of them; the bytes an element are those of fp32, bf16
// moves half.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "lockstep/core/philox.h"
#include "lockstep/ops/op.h"

namespace lockstep::kernels {

// y = a + b, each of n elements; with a relu behind it. 12 bytes an element.
void add(float* y, const float* a, const float* b, std::int64_t n, cudaStream_t stream);
void add_reference(float* y, const float* a, const float* b, std::int64_t n, cudaStream_t stream);
void add_relu(float* y, const float* a, const float* b, std::int64_t n, cudaStream_t stream);

// y = act(x): 8 bytes. dx = dy act'(from): 12 bytes; from is the output for kRelu, kLeakyRelu,
// kTanh and kSigmoid, else the input. About 25 flops where there is an exponential.
void activate(float* y, const float* x, std::int64_t n, ops::Activation activation, float slope,
              cudaStream_t stream);
void activate(__nv_bfloat16* y, const __nv_bfloat16* x, std::int64_t n, ops::Activation activation,
              float slope, cudaStream_t stream);
void activate_reference(float* y, const float* x, std::int64_t n, ops::Activation activation,
                        float slope, cudaStream_t stream);  // one thread an element
void activate_gradient(float* dx, const float* dy, const float* from, std::int64_t n,
                       ops::Activation activation, float slope, cudaStream_t stream);
void activate_gradient_reference(float* dx, const float* dy, const float* from, std::int64_t n,
                                 ops::Activation activation, float slope, cudaStream_t stream);
void activate_gradient(__nv_bfloat16* dx, const __nv_bfloat16* dy, const __nv_bfloat16* from,
                       std::int64_t n, ops::Activation activation, float slope,
                       cudaStream_t stream);

// x = factor x (8 bytes); y = y + factor x with one rounding (12 bytes); x = value (4 bytes).
void scale(float* x, float factor, std::int64_t n, cudaStream_t stream);
void axpy(float* y, const float* x, float factor, std::int64_t n, cudaStream_t stream);
void fill(float* x, float value, std::int64_t n, cudaStream_t stream);

// y = x rounded to bf16, to nearest even, and back: the bits of ops::round_to_bf16, and a NaN stays
// one. 8 bytes.
void round_to_bf16(float* y, const float* x, std::int64_t n, cudaStream_t stream);
void round_to_bf16_reference(float* y, const float* x, std::int64_t n, cudaStream_t stream);

// To nearest even, and exactly. 6 bytes.
void convert(__nv_bfloat16* y, const float* x, std::int64_t n, cudaStream_t stream);
void convert(float* y, const __nv_bfloat16* x, std::int64_t n, cudaStream_t stream);

// Stochastic rounding: up with the probability that makes the mean exact. The number of element e
// is word e, low half, of the stream (seed and step of *random, on the device; op = parameter;
// lane_micro = kRoundingStream), e counted from the parameter's start: x begins at `first`, a
// multiple of 4. Infinity and NaN stay.
constexpr std::uint32_t kRoundingStream = 0xFFFFFF;  // no lane and microbatch has this number
void convert_stochastic(__nv_bfloat16* y, const float* x, std::int64_t n, const RandomKey* random,
                        std::uint32_t parameter, std::int64_t first, cudaStream_t stream);

}  // namespace lockstep::kernels
