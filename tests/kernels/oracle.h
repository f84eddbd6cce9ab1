// What kernels are compared with: loops in double, and the tolerances of the element types.
#pragma once
#include <cuda_bf16.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/device_array.h"
#include "lockstep/core/philox.h"
#include "lockstep/ops/op.h"
#include "ops/numbers.h"

namespace lockstep::kernels {

using ops::uniform;
using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Words = std::vector<__nv_bfloat16>;  // bf16

inline Words to_words(const Floats& x) {
  Words words;
  for (float v : x) words.push_back(__float2bfloat16(v));
  return words;
}
inline Floats to_floats(const Words& words) {
  Floats x;
  for (__nv_bfloat16 w : words) x.push_back(__bfloat162float(w));
  return x;
}
inline const Floats& to_floats(const Floats& x) { return x; }

// Numbers of element type T, and those numbers as floats.
template <class T>
std::vector<T> of_type(const Floats& x) {
  if constexpr (std::is_same_v<T, float>)
    return x;
  else
    return to_words(x);
}

// fp32: 1e-6 of max(1, |expected|). bf16: 1 unit in the last place.
inline void expect_near(const Floats& got, const Doubles& expected, const std::string& what,
                        double tolerance = 1e-6) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::fabs(got[i] - expected[i]);
    ASSERT_TRUE(error <= tolerance * std::fmax(1, std::fabs(expected[i])))
        << what << "[" << i << "] is " << got[i] << ", not " << expected[i];
  }
}
inline void expect_near(const Words& got, const Doubles& expected, const std::string& what,
                        double tolerance = 1e-6) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double value = __bfloat162float(got[i]), error = std::fabs(value - expected[i]);
    ASSERT_TRUE(error <= 0x1p-8 * std::fabs(expected[i]) + tolerance)
        << what << "[" << i << "] is " << value << ", not " << expected[i];
  }
}

inline double activation(ops::Activation a, double x, double slope) {
  constexpr double kPi = 3.14159265358979323846;
  switch (a) {
    case ops::Activation::kRelu:
      return std::fmax(x, 0);
    case ops::Activation::kLeakyRelu:
      return x > 0 ? x : slope * x;
    case ops::Activation::kGelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case ops::Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / kPi) * (x + 0.044715 * x * x * x)));
    case ops::Activation::kSilu:
      return x / (1 + std::exp(-x));
    case ops::Activation::kTanh:
      return std::tanh(x);
    case ops::Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    default:
      return x;
  }
}
// By central differences of the above; not at the corners of the relus.
inline double activation_slope(ops::Activation a, double x, double slope) {
  constexpr double kStep = 1e-5;
  return (activation(a, x + kStep, slope) - activation(a, x - kStep, slope)) / (2 * kStep);
}
// 0 or the scale.
inline double drop_factor(const RandomKey& key, double rate, std::int64_t element) {
  return key.word(element) >= rate * 0x1p32 ? 1 / (1 - rate) : 0;
}

inline constexpr ops::Activation kActivations[] = {
    ops::Activation::kNone, ops::Activation::kRelu,     ops::Activation::kLeakyRelu,
    ops::Activation::kGelu, ops::Activation::kGeluTanh, ops::Activation::kSilu,
    ops::Activation::kTanh, ops::Activation::kSigmoid};

}  // namespace lockstep::kernels
