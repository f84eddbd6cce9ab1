// Dropout inside other kernels: the numbers of dropout.h.
#pragma once
#include <cmath>

#include "kernels/dropout.h"
#include "kernels/philox.cuh"

namespace lockstep::kernels {

// Drop, with what the host makes of the rate once.
struct DropPlan {
  const RandomKey* random;
  unsigned op, threshold;
  float scale;

  explicit DropPlan(const Drop& d)
      : random(d.rate > 0 ? d.random : nullptr),
        op(d.op),
        // rate < 1 as a float is at most 1 - 2^-24, so that this fits.
        threshold(static_cast<unsigned>(std::ceil(double{d.rate} * 0x1p32))),
        scale(1 / (1 - d.rate)) {}
};

// A thread's copy of the key.
struct DropState {
  bool on;
  RandomKey key;
  __device__ explicit DropState(const DropPlan& plan) : on(plan.random != nullptr) {
    if (on) key = *plan.random;
  }
};

// Multiplies elements [element, element + W) by 0 or the scale. W is 1, or 4 with element a
// multiple of 4.
template <int W>
__device__ inline void drop_elements(float (&x)[W], const DropState& state, const DropPlan& plan,
                                     std::int64_t element) {
  static_assert(W == 1 || W == 4);
  const uint4 words = random_words(state.key, plan.op, static_cast<std::uint64_t>(element) / 4);
  if constexpr (W == 4) {
    x[0] *= words.x >= plan.threshold ? plan.scale : 0.0f;
    x[1] *= words.y >= plan.threshold ? plan.scale : 0.0f;
    x[2] *= words.z >= plan.threshold ? plan.scale : 0.0f;
    x[3] *= words.w >= plan.threshold ? plan.scale : 0.0f;
  } else {
    const unsigned low = element & 1 ? words.y : words.x, high = element & 1 ? words.w : words.z;
    x[0] *= (element & 2 ? high : low) >= plan.threshold ? plan.scale : 0.0f;
  }
}

}  // namespace lockstep::kernels
