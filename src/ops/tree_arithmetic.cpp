#include "lockstep/ops/tree_arithmetic.h"

#include "lockstep/core/error.h"
#ifdef LOCKSTEP_CUDA
#include "ops/cuda/make.h"
#endif

namespace lockstep::ops {

std::unique_ptr<TreeArithmetic> make_tree_arithmetic(Device& device) {
#ifdef LOCKSTEP_CUDA
  if (device.kind() == DeviceKind::kCuda) return make_cuda_tree_arithmetic();
#endif
  LOCKSTEP_CHECK(false, "{} folds on the host", device.name());
}

}  // namespace lockstep::ops
