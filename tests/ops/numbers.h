// Inputs and sizes of the op tests.
#pragma once
#include <cstdint>
#include <random>
#include <vector>

namespace lockstep::ops {

inline constexpr std::int64_t kEdgeSizes[] = {1, 7, 15, 16, 17, 31, 32, 33, 257, 1000, 1023};

inline std::vector<float> uniform(std::int64_t n, unsigned seed, double low = -1, double high = 1) {
  std::mt19937 bits(seed);
  std::vector<float> x(n);
  for (float& value : x) value = static_cast<float>(low + (high - low) * (bits() / 4294967296.0));
  return x;
}

}  // namespace lockstep::ops
