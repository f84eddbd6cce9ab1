// Comparison with references in double: values, and gradients by central differences.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace lockstep::ops {

// |got - expected| <= tolerance * max(1, largest |expected|) everywhere; NaN fails.
inline void expect_close(const std::vector<float>& got, const std::vector<double>& expected,
                         double tolerance, const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  double largest = 1;
  for (double e : expected) largest = std::fmax(largest, std::fabs(e));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::fabs(got[i] - expected[i]);
    ASSERT_TRUE(error <= tolerance * largest)
        << what << "[" << i << "] is " << got[i] << ", not " << expected[i] << " (error "
        << error / largest << " of " << largest << ")";
  }
}

inline std::vector<double> widen(const std::vector<float>& x) { return {x.begin(), x.end()}; }

// d/dx of sum(weight * f(x)) by central differences of a double function; its own error is about
// step^2 + 1e-16 / step.
inline std::vector<double> central_differences(
    const std::function<std::vector<double>(const std::vector<double>&)>& f, std::vector<double> x,
    const std::vector<float>& weight, double step = 1e-5) {
  const auto objective = [&](const std::vector<double>& at) {
    const std::vector<double> y = f(at);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * weight[i];
    return sum;
  };
  std::vector<double> gradient(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double centre = x[i];
    x[i] = centre + step;
    const double above = objective(x);
    x[i] = centre - step;
    gradient[i] = (above - objective(x)) / (2 * step);
    x[i] = centre;
  }
  return gradient;
}

}  // namespace lockstep::ops
