#include "device/cuda/cuda_call.h"

#include <utility>

#include "lockstep/core/error.h"

namespace lockstep::cuda {
namespace {

thread_local std::string place = "cuda";

}  // namespace

std::string where() { return place; }
void set_where(std::string text) { place = std::move(text); }

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw Error(ExitCode::kBug, fmt::format("{} on {} failed: {} ({})", what, place,
                                          cudaGetErrorString(error), cudaGetErrorName(error)));
}

}  // namespace lockstep::cuda
