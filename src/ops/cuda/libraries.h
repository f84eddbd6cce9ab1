// Handles of cuBLASLt and cuDNN, one a device, and their errors as sentences.
#pragma once
#include <cublasLt.h>
#include <cudnn.h>

#include "device/cuda/cuda_device.h"

namespace lockstep::ops {

inline const cuda::CudaDevice& as_cuda(const Device& device) {
  return static_cast<const cuda::CudaDevice&>(device);
}

// what: the call or the problem. Throw Error naming rank and device.
void check(cublasStatus_t status, std::string_view what);
void check(cudnnStatus_t status, std::string_view what);

// Made at the first call; throws UserError if the library cannot start on this machine.
cublasLtHandle_t cublas_handle(const cuda::CudaDevice& device);
// For making plans; they run through execute().
cudnnHandle_t cudnn_handle(const cuda::CudaDevice& device);
// A cuDNN handle has one stream at a time: executes the plan with the handle set to this one.
void execute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack,
             cudaStream_t stream, std::string_view what);

}  // namespace lockstep::ops
