// Rows of a table by number, and the gradient of the table: for each of its rows the gradients of
// the places that name it, added in their order, the bits of a loop over the places. Token numbers
// outside [0, vocabulary) give rows of NaN and no gradient.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace lockstep::kernels {

struct EmbeddingShape {
  std::int64_t rows, vocabulary, width;  // rows and vocabulary below 2^31
};

// y[r] = table[ids[r]]. Moves 8 bytes an element.
template <class T>
void embedding(const EmbeddingShape& s, const std::int32_t* ids, const T* table, T* y,
               cudaStream_t stream);

// d_table[t] = carried[t] (or +0 where carried is null; it may be d_table) + d_y[r] for every r
// with ids[r] = t, in ascending order. Sorts the places by number first (radix, 8 bits a pass,
// stable, 12 bytes a place and pass); then writes the table once (4 bytes an element; 8 if carried
// from elsewhere) and reads each gradient once. A number that comes n times is a chain of n
// additions, eight loads ahead: what limits it where one number has most of the rows.
void embedding_backward(const EmbeddingShape& s, const std::int32_t* ids, const float* d_y,
                        const float* carried, float* d_table, void* workspace, cudaStream_t stream);
std::size_t embedding_workspace(const EmbeddingShape& s);  // bytes
// One thread a column, over all places in order; d_table holds what it starts from.
void embedding_backward_reference(const EmbeddingShape& s, const std::int32_t* ids,
                                  const float* d_y, float* d_table, cudaStream_t stream);

}  // namespace lockstep::kernels
