#include "bench/reference.h"

#include <fmt/format.h>

#include <cmath>

namespace lockstep::bench {
namespace {

template <class Got>
std::string compared(const char* what, const Got& got, const std::vector<double>& expected,
                     double allowed) {
  if (got.size() != expected.size())
    return fmt::format("{} has {} elements, not {}", what, got.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double off = std::fabs(static_cast<double>(got[i]) - expected[i]);
    if (!(off <= allowed))
      return fmt::format("{}[{}] is {:.7g}, not {:.7g} (allowed {:.2g})", what, i,
                         static_cast<double>(got[i]), expected[i], allowed);
  }
  return {};
}

}  // namespace

std::string difference(const char* what, const std::vector<float>& got,
                       const std::vector<double>& expected, double allowed) {
  return compared(what, got, expected, allowed);
}
std::string difference(const char* what, const std::vector<double>& got,
                       const std::vector<double>& expected, double allowed) {
  return compared(what, got, expected, allowed);
}

std::string first_of(std::initializer_list<std::string> findings) {
  for (const std::string& finding : findings)
    if (!finding.empty()) return finding;
  return {};
}

std::vector<double> signs(std::int64_t n) {
  std::vector<double> r(static_cast<std::size_t>(n));
  std::uint64_t state = 88172645463325252ull;
  for (double& x : r) {  // xorshift64 (Marsaglia 2003)
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    x = (state >> 40) & 1 ? 1.0 : -1.0;
  }
  return r;
}

std::vector<double> times(const std::vector<float>& matrix, const std::vector<double>& weights) {
  const std::size_t columns = weights.size();
  std::vector<double> sums(matrix.size() / columns);
  for (std::size_t row = 0; row < sums.size(); ++row) {
    double sum = 0;
    for (std::size_t c = 0; c < columns; ++c) sum += matrix[row * columns + c] * weights[c];
    sums[row] = sum;
  }
  return sums;
}

}  // namespace lockstep::bench
