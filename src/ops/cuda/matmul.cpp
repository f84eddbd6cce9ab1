// cuBLASLt is column-major: a row-major matrix [r, c] is its [c, r]. So y = x W^T is asked for as
// y^T = W x^T, whose rows are our columns, as the bias of the epilogue wants it.
#include "ops/cuda/matmul.h"

#include <array>
#include <charconv>
#include <cstring>

#include "device/cuda/cuda_call.h"
#include "kernels/gemm.h"
#include "lockstep/core/error.h"
#include "lockstep/ops/algorithms.h"

namespace lockstep::ops {
namespace {

constexpr std::string_view kNone = "none";  // recorded where cuBLASLt has nothing

// How the two factors lie for cuBLASLt: [rows, columns] as stored, transposed or not.
struct Factor {
  std::int64_t rows, columns;
  bool transposed;
};
struct Shapes {
  Factor first, second;
  std::int64_t rows, columns;  // of the result
};

Shapes shapes_of(const Product& p) {
  switch (p.form) {
    case Product::Form::kForward:
      return {{p.in, p.out, true}, {p.in, p.rows, false}, p.out, p.rows};
    case Product::Form::kData:
      return {{p.in, p.out, false}, {p.out, p.rows, false}, p.in, p.rows};
    case Product::Form::kWeights:
      break;
  }
  return {{p.in, p.rows, false}, {p.out, p.rows, true}, p.in, p.out};
}

cublasLtEpilogue_t epilogue(Product::End end) {
  switch (end) {
    case Product::End::kNone:
      break;
    case Product::End::kBias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Product::End::kBiasRelu:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
    case Product::End::kBiasGelu:
      return CUBLASLT_EPILOGUE_GELU_BIAS;
    case Product::End::kBiasGeluKept:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

template <class T>
void set(cublasLtMatmulDescOpaque_t& operation, cublasLtMatmulDescAttributes_t attribute, T value) {
  check(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute");
}

template <class T>
void set(cublasLtMatmulPreferenceOpaque_t& preference,
         cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  check(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value),
        "cublasLtMatmulPreferenceSetAttribute");
}

// Plain COMPUTE_32F: factors of fp32 are not rounded to TF32.
cublasLtMatmulDescOpaque_t operation_of(const Product& p, const void* bias, void* before_gelu) {
  const Shapes shapes = shapes_of(p);
  cublasLtMatmulDescOpaque_t operation;
  check(cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescInit");
  const auto op = [](bool transposed) -> std::int32_t {
    return transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  };
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, op(shapes.first.transposed));
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, op(shapes.second.transposed));
  if (p.end == Product::End::kNone) return operation;
  set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(epilogue(p.end)));
  set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  if (p.end == Product::End::kBiasGeluKept) {
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, before_gelu);
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.out);
  }
  return operation;
}

cublasLtMatrixLayoutOpaque_t layout(cudaDataType type, std::int64_t rows, std::int64_t columns) {
  cublasLtMatrixLayoutOpaque_t layout;
  check(cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(rows),
                                 static_cast<std::uint64_t>(columns), rows),
        "cublasLtMatrixLayoutInit");
  return layout;
}

// Pointers that only say how they are aligned.
void* aligned_as(const Product& p) { return reinterpret_cast<void*>(p.alignment); }

// What cuBLASLt's own handles take by default; NVIDIA recommends it for the tensor cores of sm_90.
std::size_t workspace_limit(int capability) {
  return capability >= 90 ? std::size_t{32} << 20 : std::size_t{4} << 20;
}

std::string text_of(const cublasLtMatmulAlgo_t& algorithm) {
  std::string text = fmt::format("{} ", cublasLtGetVersion());
  for (const std::uint64_t word : algorithm.data) text += fmt::format("{:016x}", word);
  return text;
}

bool read_algorithm(std::string_view digits, cublasLtMatmulAlgo_t& algorithm) {
  constexpr std::size_t kDigits = 16;
  if (digits.size() != kDigits * std::size(algorithm.data)) return false;
  for (std::uint64_t& word : algorithm.data) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + kDigits, word, 16);
    if (error != std::errc() || end != digits.data() + kDigits) return false;
    digits.remove_prefix(kDigits);
  }
  return true;
}

}  // namespace

std::string problem_text(const Product& p) {
  constexpr std::array<std::string_view, 3> kForms = {"forward", "data", "weights"};
  constexpr std::array<std::string_view, 5> kEnds = {"", " bias", " bias relu", " bias gelu_tanh",
                                                     " bias gelu_tanh kept"};
  return fmt::format("cublasLt {} {} x {} x {} {}{}{}", kForms[static_cast<std::size_t>(p.form)],
                     p.rows, p.in, p.out, name_of(p.precision),
                     kEnds[static_cast<std::size_t>(p.end)],
                     p.alignment == 16 ? "" : fmt::format(" aligned to {}", p.alignment));
}

Matmul::Matmul(const Device& device, const Product& p)
    : product_(p), problem_(problem_text(p)), handle_(cublas_handle(as_cuda(device))) {
  const Shapes shapes = shapes_of(p);
  const cudaDataType type = p.precision == Precision::kBf16 ? CUDA_R_16BF : CUDA_R_32F;
  first_ = layout(type, shapes.first.rows, shapes.first.columns);
  second_ = layout(type, shapes.second.rows, shapes.second.columns);
  result_ = layout(CUDA_R_32F, shapes.rows, shapes.columns);
  if (const auto recorded = algorithms().find(problem_)) {
    if (*recorded != kNone) use_recorded(*recorded);
  } else {
    choose(as_cuda(device).capability());
    algorithms().record(problem_, in_library_ ? text_of(algorithm_) : std::string(kNone));
  }
  if (in_library_ || is_gelu()) return;
  if (p.precision == Precision::kFp32)
    throw UserError("cuBLASLt {} has no algorithm for {} on {}; use run.device = \"cpu\"",
                    cublasLtGetVersion(), problem_, cuda::where());
  if (as_cuda(device).capability() < 80)
    throw UserError("bf16 needs sm_80 or newer, but {} is sm_{}; use train.precision = \"fp32\"",
                    cuda::where(), as_cuda(device).capability());
}

// The struct is meant to be stored, for the same version of the library.
void Matmul::use_recorded(const std::string& text) {
  const std::string version = fmt::format("{} ", cublasLtGetVersion());
  if (!text.starts_with(version))
    throw UserError(
        "the algorithm recorded for {} is of cuBLASLt {}, but this is {}; use the installation "
        "that "
        "the run began with, or begin another run from its weights",
        problem_, text.substr(0, text.find(' ')), cublasLtGetVersion());
  if (!read_algorithm(std::string_view(text).substr(version.size()), algorithm_))
    throw DataError("the algorithm recorded for {} cannot be read: '{}'", problem_, text);
  auto operation = operation_of(product_, aligned_as(product_), aligned_as(product_));
  cublasLtMatmulHeuristicResult_t found{};
  const cublasStatus_t status = cublasLtMatmulAlgoCheck(handle_, &operation, &first_, &second_,
                                                        &result_, &result_, &algorithm_, &found);
  if (status != CUBLAS_STATUS_SUCCESS)
    throw UserError(
        "the algorithm recorded for {} does not run on {} ({}); use devices of the kind that the "
        "run began on, or begin another run from its weights",
        problem_, cuda::where(), cublasLtGetStatusName(status));
  workspace_bytes_ = found.workspaceSize;
  in_library_ = true;
}

// Split sums only where cuBLASLt adds the parts one after the other in the result's own memory
// ("in place", in turns that counters keep): how many parts there are is part of the recorded
// algorithm, so the order of every sum is too. The other schemes need a second pass and workspace.
void Matmul::choose(int capability) {
  cublasLtMatmulPreferenceOpaque_t preference;
  check(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
      std::uint64_t{workspace_limit(capability)});
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      std::uint32_t{CUBLASLT_REDUCTION_SCHEME_INPLACE});
  for (const auto matrix :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(preference, matrix, static_cast<std::uint32_t>(product_.alignment));
  auto operation = operation_of(product_, aligned_as(product_), aligned_as(product_));
  std::array<cublasLtMatmulHeuristicResult_t, 8> found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_, &operation, &first_, &second_, &result_, &result_, &preference,
      static_cast<int>(found.size()), found.data(), &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return;
  check(status, problem_);
  for (int i = 0; i < count && !in_library_; ++i) {
    if (found[i].state != CUBLAS_STATUS_SUCCESS) continue;
    algorithm_ = found[i].algo;
    workspace_bytes_ = found[i].workspaceSize;
    in_library_ = true;
  }
}

std::string Matmul::implementation() const {
  if (!in_library_) return "gemm_bf16";
  std::int32_t id = 0;
  check(cublasLtMatmulAlgoConfigGetAttribute(&algorithm_, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof id,
                                             nullptr),
        "cublasLtMatmulAlgoConfigGetAttribute");
  return fmt::format("cublasLt:{}", id);
}

void Matmul::run(const Operands& operands, void* workspace, Stream* stream) const {
  if (!in_library_) return run_own(operands, stream);
  const float one = 1, zero = 0;
  auto operation = operation_of(product_, operands.bias, operands.before_gelu);
  // The library takes descriptors that it does not change by pointers that are not const.
  auto first = first_, second = second_, result = result_;
  check(cublasLtMatmul(handle_, &operation, &one, operands.b, &first, operands.a, &second,
                       operands.added != nullptr ? &one : &zero,
                       operands.added != nullptr ? operands.added : operands.c, &result, operands.c,
                       &result, &algorithm_, workspace, workspace_bytes_, cuda::native(stream)),
        problem_);
}

void Matmul::run_own(const Operands& operands, Stream* stream) const {
  const Product& p = product_;
  kernels::GemmBf16 g{.m = p.rows, .n = p.out, .k = p.in};
  g.a = static_cast<const __nv_bfloat16*>(operands.a);
  g.b = static_cast<const __nv_bfloat16*>(operands.b);
  g.b_transposed = p.form == Product::Form::kForward;
  g.a_transposed = p.form == Product::Form::kWeights;
  if (p.form == Product::Form::kData) g.n = p.in, g.k = p.out;
  if (p.form == Product::Form::kWeights) g.m = p.out, g.n = p.in, g.k = p.rows;
  if (p.end != Product::End::kNone) g.bias = operands.bias;
  if (p.end == Product::End::kBiasRelu) g.activation = kernels::GemmActivation::kRelu;
  g.accumulate = operands.added != nullptr;
  if (g.accumulate && operands.added != operands.c)
    cuda::check(cudaMemcpyAsync(operands.c, operands.added, sizeof(float) * g.m * g.n,
                                cudaMemcpyDeviceToDevice, cuda::native(stream)),
                "cudaMemcpyAsync");
  kernels::gemm_bf16(g, operands.c, cuda::native(stream));
}

}  // namespace lockstep::ops
