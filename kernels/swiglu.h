// SwiGLU (Shazeer 2020): y = silu(gate) up over rows [gate, up] of 2 width. All on 16-byte
// boundaries.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace lockstep::kernels {

// x [rows, 2 width], y [rows, width]. 12 bytes and about 26 flops an element of y.
void swiglu(float* y, const float* x, std::int64_t rows, std::int64_t width, cudaStream_t stream);
void swiglu(__nv_bfloat16* y, const __nv_bfloat16* x, std::int64_t rows, std::int64_t width,
            cudaStream_t stream);
// The formulas in double, one thread an element of y.
void swiglu_reference(float* y, const float* x, std::int64_t rows, std::int64_t width,
                      cudaStream_t stream);
void swiglu_gradient_reference(float* dx, const float* dy, const float* x, std::int64_t rows,
                               std::int64_t width, cudaStream_t stream);
// dx [rows, 2 width]; may be x. 20 bytes and about 32 flops an element of y.
void swiglu_gradient(float* dx, const float* dy, const float* x, std::int64_t rows,
                     std::int64_t width, cudaStream_t stream);
void swiglu_gradient(__nv_bfloat16* dx, const __nv_bfloat16* dy, const __nv_bfloat16* x,
                     std::int64_t rows, std::int64_t width, cudaStream_t stream);

}  // namespace lockstep::kernels
