// The table of vector loops, one per instruction set, filled by kernels_avx512.cpp,
// kernels_avx2.cpp and kernels_plain.cpp from the same *.inl sources. Ops ask kernels() at each
// call.
#pragma once
#include <cstddef>
#include <cstdint>

#include "lockstep/core/isa.h"
#include "lockstep/ops/vector.h"

namespace lockstep::ops {

struct Kernels {
  // lockstep/ops/vector.h
  void (*add)(float* dst, const float* a, const float* b, std::int64_t n);
  double (*sum_of_squares)(const float* x, std::int64_t n);
  void (*scale)(float* x, float factor, std::int64_t n);
  void (*axpy)(float* p, const float* x, float factor, std::int64_t n);
  void (*sgd)(float* p, float* buffer, const float* g, std::int64_t n, const SgdStep& s);
  void (*adam)(float* p, float* m, float* v, const float* g, std::int64_t n, const AdamStep& s);
  void (*lamb_direction)(float* update, const float* p, float* m, float* v, const float* g,
                         std::int64_t n, const AdamStep& s);

  // y = f(x); y may be x. Bounds on their errors: tests/ops/simd_math_test.cpp.
  using Map = void (*)(float* y, const float* x, std::int64_t n);
  Map exp, log, tanh, erf, sigmoid;
};

const Kernels& kernels();         // of the ISA in force, or of the UseIsa that lives
const Kernels& kernels(Isa isa);  // the caller knows that the machine has it

// Tests run every table that the machine can: while one lives, kernels() answers for its ISA.
class UseIsa {
 public:
  explicit UseIsa(Isa isa);
  ~UseIsa();
  UseIsa(const UseIsa&) = delete;
  UseIsa& operator=(const UseIsa&) = delete;

 private:
  const Kernels* previous_;
};

}  // namespace lockstep::ops
