// What the stand-in of cuBLASLt keeps in the library's opaque structs, and the product itself.
#pragma once
#include <cublasLt.h>

#include <cstdint>

namespace lockstep::stand_in {

struct Operation {
  std::int32_t compute, scale, transposed_a, transposed_b;
  std::uint32_t epilogue;
  const void* bias;
  void* aux;
  std::int64_t aux_step;
};
struct Layout {
  std::uint32_t type;
  std::uint64_t rows, columns;
  std::int64_t step;
};
struct Preference {
  std::uint64_t workspace;
  std::uint32_t schemes, alignment_a, alignment_b, alignment_c, alignment_d;
};
// One of kAlgorithms for one problem.
struct Algorithm {
  std::int32_t id, capability;
  std::uint64_t problem;  // a hash
  std::uint32_t alignment;
  std::uint32_t scheme;
  std::uint64_t workspace;
};

static_assert(sizeof(Operation) <= sizeof(cublasLtMatmulDescOpaque_t));
static_assert(sizeof(Layout) <= sizeof(cublasLtMatrixLayoutOpaque_t));
static_assert(sizeof(Preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t));
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

// D = epilogue(alpha A B + beta C), column-major.
struct MatrixProduct {
  Operation operation;
  Layout a_layout, b_layout, c_layout, d_layout;
  float alpha, beta;
  const void *a, *b, *c;
  void* d;
  bool backwards;  // sums run from the last k to the first
};
void compute(const MatrixProduct& product);

}  // namespace lockstep::stand_in
