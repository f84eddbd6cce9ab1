// Weights of convolutions between their order in the flat buffer, [out, in/groups, kernel...], and
// the channels-last order of cuDNN, [out, kernel..., in/groups].
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace lockstep::kernels {

// to [n, columns, rows] = from [n, rows, columns]; rounded to nearest even to bf16. Moves 8 (6)
// bytes an element. to and from do not overlap.
void transpose_each(float* to, const float* from, std::int64_t n, std::int64_t rows,
                    std::int64_t columns, cudaStream_t stream);
void transpose_each(__nv_bfloat16* to, const float* from, std::int64_t n, std::int64_t rows,
                    std::int64_t columns, cudaStream_t stream);
void transpose_each(float* to, const __nv_bfloat16* from, std::int64_t n, std::int64_t rows,
                    std::int64_t columns, cudaStream_t stream);
void transpose_each_reference(float* to, const float* from, std::int64_t n, std::int64_t rows,
                              std::int64_t columns, cudaStream_t stream);
void transpose_each_reference(__nv_bfloat16* to, const float* from, std::int64_t n,
                              std::int64_t rows, std::int64_t columns, cudaStream_t stream);
void transpose_each_reference(float* to, const __nv_bfloat16* from, std::int64_t n,
                              std::int64_t rows, std::int64_t columns, cudaStream_t stream);

}  // namespace lockstep::kernels
