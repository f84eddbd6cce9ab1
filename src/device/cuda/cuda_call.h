// Calls of the CUDA runtime: an error becomes a sentence that names the call or kernel, the rank and
// the device.
#pragma once
#include <cuda_runtime_api.h>

#include <string>

namespace lockstep::cuda {

// "rank 3, cuda 0 (NVIDIA H100)": of the device that the calling thread has entered.
std::string where();
void set_where(std::string text);  // of the calling thread

// CUDA_LAUNCH_BLOCKING=1: each kernel is waited for, so that errors name the one that failed.
bool launches_block();

// what: the kernel or the call, "layer_norm_forward". Throws Error (a bug of ours or of the machine).
void check(cudaError_t error, const char* what);

}  // namespace lockstep::cuda
