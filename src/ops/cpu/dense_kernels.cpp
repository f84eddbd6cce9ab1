#include "ops/cpu/dense_kernels.h"

#include "lockstep/core/isa.h"

namespace lockstep::ops {

extern const DenseKernels kDensePlain, kDenseAvx2, kDenseAvx512;

const DenseKernels& dense_kernels() {
  switch (isa()) {
    case Isa::kAvx512:
      return kDenseAvx512;
    case Isa::kAvx2:
      return kDenseAvx2;
    case Isa::kPlain:
      break;
  }
  return kDensePlain;
}

}  // namespace lockstep::ops
