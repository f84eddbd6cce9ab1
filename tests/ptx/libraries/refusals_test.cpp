// The stand-ins refuse what the manuals of cuBLASLt and cuDNN refuse, with their codes.
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace {

constexpr std::int64_t kRows = 24, kColumns = 16, kInner = 32;

// D [24, 16] = A^T [24, 32] B [32, 16] + bias, column-major.
struct Product {
  explicit Product(cudaDataType factors = CUDA_R_32F) {
    EXPECT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), 0);
    const std::int32_t transposed = CUBLAS_OP_T;
    set(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    cublasLtMatrixLayoutInit(&a, factors, kInner, kRows, kInner);
    cublasLtMatrixLayoutInit(&b, factors, kInner, kColumns, kInner);
    cublasLtMatrixLayoutInit(&d, CUDA_R_32F, kRows, kColumns, kRows);
    EXPECT_EQ(cudaMalloc(&memory, 1 << 20), cudaSuccess);
    EXPECT_EQ(cudaMemset(memory, 0, 1 << 20), cudaSuccess);
  }
  ~Product() {
    cudaFree(memory);
    cublasLtDestroy(handle);
  }
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value), 0);
  }
  cublasStatus_t choose(std::uint64_t workspace = 4 << 20) {
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulPreferenceInit(&preference);
    cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                         &workspace, sizeof workspace);
    int count = 0;
    return cublasLtMatmulAlgoGetHeuristic(handle, &operation, &a, &b, &d, &d, &preference, 1, &best,
                                          &count);
  }
  char* at(int quarter) { return static_cast<char*>(memory) + quarter * (1 << 18); }
  cublasStatus_t run(std::size_t workspace_bytes, int offset = 0, int workspace_offset = 0) {
    const float one = 1, zero = 0;
    void* const out = at(2);
    return cublasLtMatmul(handle, &operation, &one, at(0) + offset, &a, at(1), &b, &zero, out, &d,
                          out, &d, &best.algo, at(3) + workspace_offset, workspace_bytes, nullptr);
  }
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, d;
  cublasLtMatmulHeuristicResult_t best{};
  void* memory = nullptr;
};

TEST(StandInCublasLt, refuses_a_small_or_misaligned_workspace_and_misaligned_factors) {
  Product p;
  ASSERT_EQ(p.choose(256 << 10), CUBLAS_STATUS_SUCCESS);
  ASSERT_GT(p.best.workspaceSize, 0u);
  EXPECT_EQ(p.run(p.best.workspaceSize), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(p.run(p.best.workspaceSize - 1), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(p.run(p.best.workspaceSize, 0, 64), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(p.run(p.best.workspaceSize, 4), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST(StandInCublasLt, refuses_layouts_and_types_that_do_not_go_together) {
  Product p;
  cublasLtMatrixLayoutInit(&p.a, CUDA_R_32F, kInner, kRows, kInner - 1);
  EXPECT_EQ(p.choose(), CUBLAS_STATUS_INVALID_VALUE);
  cublasLtMatrixLayoutInit(&p.a, CUDA_R_32F, kInner + 1, kRows, kInner + 1);
  EXPECT_EQ(p.choose(), CUBLAS_STATUS_INVALID_VALUE);
  cublasLtMatrixLayoutInit(&p.a, CUDA_R_16BF, kInner, kRows, kInner);
  EXPECT_EQ(p.choose(), CUBLAS_STATUS_NOT_SUPPORTED);
  cublasLtMatrixLayoutInit(&p.b, CUDA_R_16BF, kInner, kColumns, kInner);
  EXPECT_EQ(p.choose(), CUBLAS_STATUS_SUCCESS);
}

TEST(StandInCublasLt, refuses_an_algorithm_that_was_made_for_another_problem) {
  Product p, other(CUDA_R_16BF);
  ASSERT_EQ(p.choose(), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(other.choose(), CUBLAS_STATUS_SUCCESS);
  p.best = other.best;
  EXPECT_EQ(p.run(1 << 17), CUBLAS_STATUS_NOT_SUPPORTED);
  cublasLtMatmulHeuristicResult_t result;
  EXPECT_EQ(cublasLtMatmulAlgoCheck(p.handle, &p.operation, &p.a, &p.b, &p.d, &p.d, &p.best.algo,
                                    &result),
            CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST(StandInCublasLt, refuses_epilogues_without_what_they_need) {
  Product p;
  p.set(CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{CUBLASLT_EPILOGUE_BIAS});
  EXPECT_EQ(p.choose(), CUBLAS_STATUS_INVALID_VALUE);
  p.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.memory);
  EXPECT_EQ(p.choose(), CUBLAS_STATUS_SUCCESS);
  p.set(CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{CUBLASLT_EPILOGUE_GELU_AUX_BIAS});
  p.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.memory);
  p.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{kRows + 4});
  EXPECT_EQ(p.choose(), CUBLAS_STATUS_INVALID_VALUE);
  p.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, std::int64_t{kRows});
  EXPECT_EQ(p.choose(), CUBLAS_STATUS_SUCCESS);
}

cudnnBackendDescriptor_t descriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t d = nullptr;
  EXPECT_EQ(cudnnBackendCreateDescriptor(type, &d), CUDNN_STATUS_SUCCESS);
  return d;
}

// The codes are those that cuDNN 9.19 gives on a machine without a GPU.
TEST(StandInCudnn, refuses_descriptors_that_are_not_finished_or_not_meant) {
  const auto tensor = descriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  const std::array<std::int64_t, 4> dimensions = {2, 3, 4, 5}, strides = {60, 1, 15, 3};
  const std::int64_t one = 1;
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  const auto set = [&](cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t kind,
                       std::int64_t count, const void* values) {
    return cudnnBackendSetAttribute(tensor, name, kind, count, values);
  };
  EXPECT_EQ(set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type), 0);
  EXPECT_EQ(set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dimensions.data()), 0);
  EXPECT_EQ(cudnnBackendFinalize(tensor), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_FLOAT, 4, strides.data()),
            CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
  EXPECT_EQ(set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &one),
            CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides.data()), 0);
  EXPECT_EQ(set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &one), 0);
  const auto operation = descriptor(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  EXPECT_EQ(cudnnBackendSetAttribute(operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tensor),
            CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
  EXPECT_EQ(set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &one), 0);
  EXPECT_EQ(cudnnBackendFinalize(tensor), 0);
  EXPECT_EQ(set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &one), CUDNN_STATUS_BAD_PARAM);
  cudnnBackendDestroyDescriptor(operation);
  cudnnBackendDestroyDescriptor(tensor);
}

}  // namespace
