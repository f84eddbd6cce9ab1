// The calls of cuBLASLt that lockstep makes. Three algorithms are offered, the best first: 21
// splits sums and reduces them in the workspace, 6 wants everything on 16 bytes and a workspace, 0
// takes everything and sums backwards. LOCKSTEP_EMULATION_WORST_FIRST=1 turns the list around, as
// another version's heuristics might.
#include "tests/ptx/libraries/cublaslt.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "tests/ptx/runtime/enqueue.h"

struct cublasLtContext {
  int capability;
};

namespace lockstep::stand_in {
namespace {

constexpr std::array<Algorithm, 3> kAlgorithms = {{
    {.id = 21,
     .alignment = 16,
     .scheme = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE,
     .workspace = 1 << 20},
    {.id = 6, .alignment = 16, .scheme = CUBLASLT_REDUCTION_SCHEME_NONE, .workspace = 64 << 10},
    {.id = 0, .alignment = 1, .scheme = CUBLASLT_REDUCTION_SCHEME_NONE, .workspace = 0},
}};
constexpr std::uint64_t kWorkspaceAlignment = 256;

std::array<Algorithm, 3> offered() {
  auto all = kAlgorithms;
  const char* turned = std::getenv("LOCKSTEP_EMULATION_WORST_FIRST");
  if (turned != nullptr && (*turned == '1' || std::string_view(turned) == "cublaslt"))
    std::reverse(all.begin(), all.end());
  return all;
}

template <class T>
T read(const void* opaque) {
  T t;
  std::memcpy(&t, opaque, sizeof t);
  return t;
}
template <class T>
void write(void* opaque, const T& t) {
  std::memcpy(opaque, &t, sizeof t);
}

template <class T>
cublasStatus_t take(T& to, const void* from, std::size_t bytes) {
  if (from == nullptr || bytes != sizeof to) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

struct Problem {
  Operation operation;
  Layout a, b, c, d;
};
Problem problem_of(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                   cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  return {read<Operation>(operation), read<Layout>(a), read<Layout>(b), read<Layout>(c),
          read<Layout>(d)};
}

std::uint64_t size_of(std::uint32_t type) { return type == CUDA_R_16BF ? 2 : 4; }

// FNV-1a over what an algorithm was made for.
std::uint64_t hash_of(const Problem& p) {
  std::uint64_t hash = 1469598103934665603u;
  const auto mix = [&](std::uint64_t x) { hash = (hash ^ x) * 1099511628211u; };
  for (const std::uint64_t x : {p.operation.transposed_a, p.operation.transposed_b}) mix(x);
  mix(p.operation.epilogue);
  for (const Layout& l : {p.a, p.b, p.c, p.d})
    for (const std::uint64_t x : {std::uint64_t{l.type}, l.rows, l.columns}) mix(x);
  return hash;
}

bool shapes_fit(const Problem& p) {
  const auto rows = [](const Layout& l, bool t) { return t ? l.columns : l.rows; };
  const auto columns = [](const Layout& l, bool t) { return t ? l.rows : l.columns; };
  const bool ta = p.operation.transposed_a, tb = p.operation.transposed_b;
  for (const Layout& l : {p.a, p.b, p.c, p.d})
    if (l.rows == 0 || l.columns == 0 || l.step < static_cast<std::int64_t>(l.rows)) return false;
  return columns(p.a, ta) == rows(p.b, tb) && rows(p.a, ta) == p.d.rows &&
         columns(p.b, tb) == p.d.columns && p.c.rows == p.d.rows && p.c.columns == p.d.columns &&
         p.c.type == p.d.type;
}

// The types that the manual's table has for fp32 sums and scales, of those that lockstep may use.
cublasStatus_t check_types(const Problem& p, int capability) {
  if (p.operation.compute != CUBLAS_COMPUTE_32F || p.operation.scale != CUDA_R_32F)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (p.a.type != p.b.type) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (p.a.type == CUDA_R_32F)
    return p.d.type == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
  if (p.a.type != CUDA_R_16BF || (p.d.type != CUDA_R_32F && p.d.type != CUDA_R_16BF))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  return capability >= 80 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ARCH_MISMATCH;
}

cublasStatus_t check_epilogue(const Problem& p) {
  const Operation& o = p.operation;
  switch (o.epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
      return o.bias != nullptr ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
      break;
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const bool fits = o.bias != nullptr && o.aux != nullptr && o.aux_step % 8 == 0 &&
                    o.aux_step >= static_cast<std::int64_t>(p.d.rows);
  return fits ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t check(const Problem& p, int capability) {
  if (!shapes_fit(p)) return CUBLAS_STATUS_INVALID_VALUE;
  if (const auto status = check_types(p, capability); status != CUBLAS_STATUS_SUCCESS)
    return status;
  return check_epilogue(p);
}

bool steps_fit(const Problem& p, std::uint64_t alignment) {
  for (const Layout& l : {p.a, p.b, p.c, p.d})
    if (l.step * size_of(l.type) % alignment != 0) return false;
  return true;
}

// Whether the algorithm was made for this problem on this kind of device.
cublasStatus_t check(const Algorithm& algorithm, const Problem& p, int capability) {
  for (const Algorithm& known : kAlgorithms) {
    if (known.id != algorithm.id) continue;
    if (algorithm.problem != hash_of(p)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (algorithm.capability != capability) return CUBLAS_STATUS_ARCH_MISMATCH;
    return CUBLAS_STATUS_SUCCESS;
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

bool on(const void* pointer, std::uint64_t alignment) {
  return reinterpret_cast<std::uintptr_t>(pointer) % alignment == 0;
}

}  // namespace
}  // namespace lockstep::stand_in

using namespace lockstep::stand_in;

extern "C" {

std::size_t cublasLtGetVersion() { return CUBLAS_VERSION; }

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "CUBLAS_STATUS_UNKNOWN";
  }
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "the function requires an architectural feature absent from the device";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the function failed to launch on the GPU";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the requested functionality is not supported";
    default:
      return "unknown error";
  }
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  int device = 0, major = 0, minor = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess)
    return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasLtContext{10 * major + minor};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t descriptor, std::size_t size,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  if (size < sizeof(Operation)) return CUBLAS_STATUS_INVALID_VALUE;
  write(descriptor,
        Operation{.compute = compute, .scale = scale, .epilogue = CUBLASLT_EPILOGUE_DEFAULT});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t descriptor,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* from, std::size_t bytes) {
  auto o = read<Operation>(descriptor);
  cublasStatus_t status = CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      status = take(o.transposed_a, from, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
      status = take(o.transposed_b, from, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      status = take(o.epilogue, from, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      status = take(o.bias, from, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      status = take(o.aux, from, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      status = take(o.aux_step, from, bytes);
      break;
    default:
      break;
  }
  if (status == CUBLAS_STATUS_SUCCESS) write(descriptor, o);
  return status;
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, std::size_t size,
                                                 cudaDataType type, std::uint64_t rows,
                                                 std::uint64_t columns, std::int64_t step) {
  if (size < sizeof(Layout)) return CUBLAS_STATUS_INVALID_VALUE;
  write(layout, Layout{static_cast<std::uint32_t>(type), rows, columns, step});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference,
                                                     std::size_t size) {
  if (size < sizeof(Preference)) return CUBLAS_STATUS_INVALID_VALUE;
  write(preference, Preference{0, CUBLASLT_REDUCTION_SCHEME_MASK, 256, 256, 256, 256});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* from, std::size_t bytes) {
  auto p = read<Preference>(preference);
  cublasStatus_t status = CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      status = take(p.workspace, from, bytes);
      break;
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      status = take(p.schemes, from, bytes);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      status = take(p.alignment_a, from, bytes);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      status = take(p.alignment_b, from, bytes);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      status = take(p.alignment_c, from, bytes);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      status = take(p.alignment_d, from, bytes);
      break;
    default:
      break;
  }
  if (status == CUBLAS_STATUS_SUCCESS) write(preference, p);
  return status;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle,
                                              cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* count) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (wanted < 1 || results == nullptr || count == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *count = 0;
  const Problem problem = problem_of(operation, a, b, c, d);
  const auto p = read<Preference>(preference);
  const cublasStatus_t status = check(problem, handle->capability);
  if (status != CUBLAS_STATUS_SUCCESS)
    return status == CUBLAS_STATUS_INVALID_VALUE ? status : CUBLAS_STATUS_NOT_SUPPORTED;
  for (Algorithm algorithm : offered()) {
    const auto least = std::uint64_t{algorithm.alignment};
    if (*count == wanted || algorithm.workspace > p.workspace) continue;
    if (algorithm.scheme != 0 && (algorithm.scheme & p.schemes) == 0) continue;
    if (p.alignment_a < least || p.alignment_b < least || p.alignment_c < least ||
        p.alignment_d < least || !steps_fit(problem, least))
      continue;
    algorithm.problem = hash_of(problem), algorithm.capability = handle->capability;
    cublasLtMatmulHeuristicResult_t& result = results[(*count)++];
    result = {};
    write(&result.algo, algorithm);
    result.workspaceSize = algorithm.workspace;
    result.state = CUBLAS_STATUS_SUCCESS;
  }
  return *count > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algo,
                                       cublasLtMatmulHeuristicResult_t* result) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const Problem problem = problem_of(operation, a, b, c, d);
  const auto algorithm = read<Algorithm>(algo);
  cublasStatus_t status = check(problem, handle->capability);
  if (status == CUBLAS_STATUS_SUCCESS) status = check(algorithm, problem, handle->capability);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  *result = {};
  result->algo = *algo;
  result->workspaceSize = algorithm.workspace;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void* to, std::size_t bytes,
                                                    std::size_t* written) {
  const auto algorithm = read<Algorithm>(algo);
  if (attribute != CUBLASLT_ALGO_CONFIG_ID || bytes != sizeof algorithm.id)
    return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(to, &algorithm.id, bytes);
  if (written != nullptr) *written = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (algo == nullptr || alpha == nullptr || beta == nullptr || a == nullptr || b == nullptr ||
      d == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  const Problem p = problem_of(operation, a_layout, b_layout, c_layout, d_layout);
  const auto algorithm = read<Algorithm>(algo);
  cublasStatus_t status = check(p, handle->capability);
  if (status == CUBLAS_STATUS_SUCCESS) status = check(algorithm, p, handle->capability);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (workspace_bytes < algorithm.workspace || !on(workspace, kWorkspaceAlignment) ||
      (workspace == nullptr && algorithm.workspace > 0))
    return CUBLAS_STATUS_INVALID_VALUE;
  MatrixProduct product{p.operation, p.a, p.b, p.c, p.d};
  product.alpha = *static_cast<const float*>(alpha);
  product.beta = *static_cast<const float*>(beta);
  product.a = a, product.b = b, product.c = c, product.d = d;
  product.backwards = algorithm.id == 0;
  if (product.beta != 0 && c == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  for (const void* pointer : {a, b, c, const_cast<const void*>(d)})
    if (!on(pointer, algorithm.alignment)) return CUBLAS_STATUS_INVALID_VALUE;
  for (const auto& [pointer, type] : {std::pair{a, p.a.type}, {b, p.b.type}, {c, p.c.type}})
    if (!on(pointer, size_of(type))) return CUBLAS_STATUS_INVALID_VALUE;
  const cudaError_t queued = lockstep::emulation::enqueue(
      stream, "cublasLtMatmul", [product, workspace, bytes = algorithm.workspace] {
        if (bytes > 0) std::memset(workspace, 0xFF, bytes);  // it is the library's to spoil
        compute(product);
      });
  return queued == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // extern "C"
