// One tree of additions over vectors: what the fold adds on a device. Each source is read once.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>

namespace lockstep::kernels {

inline constexpr int kFoldSources = 224, kFoldOuts = 48;

// Source i is pushed on a stack, then merges[i] times the two topmost values give way to their sum;
// what is left are the outs, the lowest first. An out may be a source. Pointers are such that
// element e lies at [e], on 16-byte boundaries for e % 4 == 0; they may be a peer's memory.
struct FoldTree {
  const float* sources[kFoldSources];
  float* outs[kFoldOuts];
  std::uint8_t merges[kFoldSources];
  int source_count, out_count;
};

struct FoldBlock {
  std::int64_t begin, elements;  // begin: a multiple of 4
};

// Runs the tree over `count` blocks (on the device). values: null, or the sum of squares in double
// of each block of the first out: 16 accumulators over elements i, i + 16, ..., then i and i + 8,
// i + 4, i + 2, i + 1, which is the order of ops::sum_of_squares. Moves 4 bytes an element for each
// source and out; what limits it is memory, or the way to a peer.
void fold(const FoldTree& tree, const FoldBlock* blocks, int count, double* values,
          cudaStream_t stream);
void fold_reference(const FoldTree& tree, const FoldBlock* blocks, int count, double* values,
                    cudaStream_t stream);

}  // namespace lockstep::kernels
