// The numbers of a dropout fused into another loop: those of the Dropout op for the same key.
#pragma once
#include <cmath>

#include "lockstep/core/error.h"
#include "lockstep/core/philox.h"
#include "ops/cpu/kernels.h"

namespace lockstep::ops {

// Of element 0; elements: how many there are at most, as the counter's first word numbers 2^32
// blocks of 4. 0 <= rate < 1.
inline DropoutStream dropout_stream(const RandomKey& random, float rate, std::int64_t elements) {
  LOCKSTEP_CHECK(elements <= std::int64_t{1} << 34, "dropout of {} elements", elements);
  const auto counter = random.counter(0);
  return {.counter = {counter[0], counter[1], counter[2], counter[3]},
          .key = random.seed,
          .threshold = static_cast<std::uint32_t>(std::ceil(double{rate} * 0x1p32)),
          .scale = 1 / (1 - rate)};
}

}  // namespace lockstep::ops
