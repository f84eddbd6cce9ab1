#include "ops/cpu/kernels.h"

#include <atomic>

namespace lockstep::ops {

extern const Kernels kPlainKernels, kAvx2Kernels, kAvx512Kernels;

namespace {

std::atomic<const Kernels*> forced{nullptr};

}  // namespace

const Kernels& kernels(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return kAvx512Kernels;
    case Isa::kAvx2:
      return kAvx2Kernels;
    case Isa::kPlain:
      break;
  }
  return kPlainKernels;
}

const Kernels& kernels() {
  const Kernels* table = forced.load(std::memory_order_relaxed);
  return table != nullptr ? *table : kernels(isa());
}

UseIsa::UseIsa(Isa isa) : previous_(forced.exchange(&kernels(isa))) {}
UseIsa::~UseIsa() { forced = previous_; }

}  // namespace lockstep::ops
