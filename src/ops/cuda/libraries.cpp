#include "ops/cuda/libraries.h"

#include <map>
#include <mutex>

#include "device/cuda/cuda_call.h"
#include "lockstep/core/error.h"

namespace lockstep::ops {
namespace {

std::mutex handles;  // guards the maps of handles and the stream of each cuDNN handle

// Never destroyed: at exit the CUDA runtime may already be gone.
template <class Handle>
std::map<int, Handle>& handles_of() {
  static auto* const by_device = new std::map<int, Handle>;
  return *by_device;
}

}  // namespace

void check(cublasStatus_t status, std::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ExitCode::kBug,
              fmt::format("{} on {} failed: {} ({})", what, cuda::where(),
                          cublasLtGetStatusString(status), cublasLtGetStatusName(status)));
}

void check(cudnnStatus_t status, std::string_view what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw Error(ExitCode::kBug, fmt::format("{} on {} failed: {} ({})", what, cuda::where(),
                                          cudnnGetErrorString(status), static_cast<int>(status)));
}

cublasLtHandle_t cublas_handle(const cuda::CudaDevice& device) {
  const std::lock_guard lock(handles);
  cublasLtHandle_t& handle = handles_of<cublasLtHandle_t>()[device.index()];
  if (handle != nullptr) return handle;
  const cublasStatus_t status = cublasLtCreate(&handle);
  if (status != CUBLAS_STATUS_SUCCESS) {
    handle = nullptr;
    throw UserError(
        "cuBLASLt {} does not start on {} ({}); install a driver for this CUDA version, or use "
        "run.device = \"cpu\"",
        cublasLtGetVersion(), cuda::where(), cublasLtGetStatusName(status));
  }
  return handle;
}

cudnnHandle_t cudnn_handle(const cuda::CudaDevice& device) {
  const std::lock_guard lock(handles);
  cudnnHandle_t& handle = handles_of<cudnnHandle_t>()[device.index()];
  if (handle != nullptr) return handle;
  const cudnnStatus_t status = cudnnCreate(&handle);
  if (status != CUDNN_STATUS_SUCCESS) {
    handle = nullptr;
    throw UserError(
        "cuDNN {} does not start on {} ({}); install a driver for this CUDA version and all parts "
        "of cuDNN 9, or use run.device = \"cpu\"",
        cudnnGetVersion(), cuda::where(), cudnnGetErrorString(status));
  }
  return handle;
}

void execute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack,
             cudaStream_t stream, std::string_view what) {
  const std::lock_guard lock(handles);
  check(cudnnSetStream(handle, stream), "cudnnSetStream");
  check(cudnnBackendExecute(handle, plan, pack), what);
}

}  // namespace lockstep::ops
