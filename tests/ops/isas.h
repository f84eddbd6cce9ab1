// The instruction sets that this machine can run, for tests that must hold on each of them.
#pragma once
#include <gtest/gtest.h>

#include <vector>

#include "lockstep/core/isa.h"
#include "ops/cpu/kernels.h"

namespace lockstep::ops {

inline std::vector<Isa> runnable_isas() {
  std::vector<Isa> isas;
  for (Isa isa : {Isa::kPlain, Isa::kAvx2, Isa::kAvx512}) {
    if (isa <= detected_isa()) isas.push_back(isa);
  }
  return isas;
}

// Runs body(isa) with each table in force and says which one failed.
template <class Body>
void on_every_isa(Body body) {
  for (Isa isa : runnable_isas()) {
    SCOPED_TRACE(std::string(name_of(isa)));
    const UseIsa use(isa);
    body(isa);
  }
}

}  // namespace lockstep::ops
