// How finely ops whose samples are independent are cut: Op::slices() of what has no larger block of
// its own.
#pragma once
#include <cstdint>

namespace lockstep::ops {

// Slices of `elements` elements in `samples` samples: one a sample, but not so small (64 KiB) that
// calls would count.
inline std::int64_t sample_slices(std::int64_t samples, std::int64_t elements) {
  constexpr std::int64_t kSmallestElements = 1 << 14;
  while (samples % 2 == 0 && elements < kSmallestElements * samples) samples /= 2;
  return samples;
}

}  // namespace lockstep::ops
