// Softmax cross-entropy of rows of class scores, its gradient in their place, and where the label
// stands among the scores: one pass for the maximum and the sum, one to write. Knows nothing of
// samples, tokens or metrics' names.
#pragma once
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace lockstep::kernels {

// Rows of a batch, or a block of them. label -1: the row is ignored, its loss and gradient +0.
// Other labels outside [0, width) give NaN: the run stops as for any loss that is not finite.
template <class T>
struct CrossEntropyRows {
  const T* logits = nullptr;             // [rows, width]
  const std::int32_t* labels = nullptr;  // [rows]
  std::int64_t rows = 0, width = 0;
  T* d_logits = nullptr;         // [rows, width], softmax - one hot; may be logits; null: none
  double* losses = nullptr;      // [rows], each written
  std::int32_t* rank = nullptr;  // [rows]: classes before the label (larger scores, equal ones of a
                                 // lower index; INT32_MAX if the label's own is NaN); -1 for
                                 // ignored rows. Null: not wanted.
};

// Moves 8 bytes an element with the gradient (fp32; 12 where a row is too long to stay in cache), 4
// without; one exponential twice. losses and rank are summed by the two below.
void cross_entropy(const CrossEntropyRows<float>& r, cudaStream_t stream);
void cross_entropy(const CrossEntropyRows<__nv_bfloat16>& r, cudaStream_t stream);
void cross_entropy_reference(const CrossEntropyRows<float>& r, cudaStream_t stream);
void cross_entropy_reference(const CrossEntropyRows<__nv_bfloat16>& r, cudaStream_t stream);

// *sum += the losses in a fixed order; *counted += rows whose label is not -1.
void add_cross_entropy(const double* losses, const std::int32_t* labels, std::int64_t rows,
                       double* sum, std::int64_t* counted, cudaStream_t stream);
// counts[0] += rows with 0 <= rank < k; counts[1] += rows whose label is not -1.
void add_hits(const std::int32_t* rank, std::int64_t rows, int k, std::int64_t* counts,
              cudaStream_t stream);

}  // namespace lockstep::kernels
