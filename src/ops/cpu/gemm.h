// The three matrix products of a linear layer, by kernels of our own: y = x W^T, dx = dy W,
// dW = dy^T x, with x [rows, in], W [out, in], y [rows, out], all row-major fp32 in memory. On one
// thread; element (i, j) of a result is summed in an order that depends on the inner dimension and
// the precision alone, never on how many rows or columns there are. Knows nothing of ops.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "lockstep/ops/op.h"
#include "lockstep/ops/precision.h"

namespace lockstep::ops {

struct GemmBlock;
struct GemmKernels;

// What is done to a tile of y while it is in registers or L1, in this order.
struct GemmEpilogue {
  const float* bias = nullptr;  // [out]
  float* before = nullptr;      // [rows, out]: y before the activation is stored here too
  Activation activation = Activation::kNone;  // as Linear
  const float* residual = nullptr;            // [rows, out]
  float dropout = 0;                          // before the residual is added
  RandomKey random;
  std::int64_t first_element = 0;  // of the dropout's numbers: that of y[0, 0]
};

class Gemm {
 public:
  enum class Form : std::uint8_t {
    kForward,  // a = x, b = W, c = y
    kData,     // a = dy, b = W, c = dx
    kWeights   // a = dy, b = x, c = dW
  };
  Gemm(Form form, std::int64_t rows, std::int64_t in, std::int64_t out, Precision precision);

  // Of W in the kernel's own layout, which is then what run() takes as b. 0: b is W itself (kData
  // at 512 rows or more), or x for kWeights.
  std::size_t packed_bytes() const;
  void pack(const float* w, void* packed) const;
  std::size_t workspace_bytes() const;  // 64-byte aligned scratch of run()
  // c (+)= product. accumulate: adds to c instead of writing it (no epilogue then). epilogue:
  // kForward only. rows_now <= rows: fewer rows than planned; -1: all.
  void run(const float* a, const void* b, float* c, bool accumulate, const GemmEpilogue& epilogue,
           void* workspace, std::int64_t rows_now = -1) const;
  std::string implementation() const;  // "lockstep:avx512", "lockstep:avx512_bf16", ...

 private:
  // How the product is cut. depths are numbers; c [m, n] = a [m, k] b [k, n].
  struct Cut {
    std::int64_t m, n, k;
    std::int64_t rows, columns;      // of C at a time: A's part in L2, B's part in L3
    std::int64_t depth, deep_depth;  // of a block; of B's part, whole blocks
  };
  Cut cut(std::int64_t rows_now) const;
  bool packed_before() const;  // b is what pack() wrote
  std::size_t packed_a_bytes() const;  // of a part, in the workspace
  std::size_t packed_b_bytes() const;
  void place_a(GemmBlock& block, const Cut& cut, const float* a, std::int64_t k,
               std::int64_t depth, float* packed) const;
  const float* next_panel(const GemmBlock& block, const Cut& cut, std::int64_t panel_words) const;

  Form form_;
  std::int64_t rows_, in_, out_;
  Precision precision_;
  const GemmKernels* kernels_;
};

}  // namespace lockstep::ops
