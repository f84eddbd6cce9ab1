// The three matrix products of a linear layer through cuBLASLt, each of a fixed shape. All matrices
// are row-major and contiguous. Knows nothing of layers: what surrounds a product beyond a bias, an
// activation of cuBLASLt's epilogue or a matrix to add is a kernel of its own (bias_activation).
#pragma once
#include <string>

#include "lockstep/ops/op.h"
#include "ops/cuda/libraries.h"

namespace lockstep::ops {

struct Product {
  enum class Form {
    kForward,  // y [rows, out] = x [rows, in] W^T,  W [out, in]
    kData,     // dx [rows, in] = dy [rows, out] W
    kWeights,  // dW [out, in] = dy^T x
  };
  // What happens to y before it is stored; kForward alone. kGeluKept also stores what went into
  // gelu_tanh; cuBLASLt has no other gelu, and wants `out` to be a multiple of 8 for it.
  enum class End { kNone, kBias, kBiasRelu, kBiasGelu, kBiasGeluKept };

  Form form;
  std::int64_t rows, in, out;
  Precision precision = Precision::kFp32;  // of the factors: float or __nv_bfloat16; sums are fp32
  End end = End::kNone;
  std::size_t alignment = 16;  // bytes, of every matrix that run() is given
};

// One line, for Algorithms: "cublasLt forward 64 x 32 x 128 bf16 bias".
std::string problem_text(const Product& p);

class Matmul {
 public:
  // The algorithm is the recorded one, or the first that the heuristics offer, which is recorded.
  // Where cuBLASLt has none for bf16, our own kernel (gemm_bf16) runs, but for the gelus. Throws
  // UserError if the recorded algorithm does not fit this library or this device, or if nothing
  // computes the problem here.
  Matmul(const Device& device, const Product& p);

  // false, for the gelus alone: run() must not be called.
  bool available() const { return in_library_ || !is_gelu(); }
  std::size_t workspace_bytes() const { return workspace_bytes_; }
  std::string implementation() const;

  struct Operands {
    const void* a = nullptr;       // x, dy, dy
    const void* b = nullptr;       // W, W, x
    float* c = nullptr;            // y, dx, dW
    const float* bias = nullptr;   // [out]
    float* before_gelu = nullptr;  // [rows, out]
    const float* added = nullptr;  // as c, and may be c: added to the product before the bias
  };
  void run(const Operands& operands, void* workspace, Stream* stream) const;

 private:
  void use_recorded(const std::string& text);
  void choose(int capability);
  bool is_gelu() const {
    return product_.end == Product::End::kBiasGelu || product_.end == Product::End::kBiasGeluKept;
  }
  void run_own(const Operands& operands, Stream* stream) const;

  Product product_;
  std::string problem_;
  cublasLtHandle_t handle_;
  cublasLtMatrixLayoutOpaque_t first_{}, second_{},
      result_{};  // column-major, as cuBLASLt sees them
  cublasLtMatmulAlgo_t algorithm_{};
  std::size_t workspace_bytes_ = 0;
  bool in_library_ = false;
};

}  // namespace lockstep::ops
