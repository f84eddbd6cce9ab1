#include "plan/rate_table.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>

namespace lockstep::plan {
namespace {

double rate_of(const KernelRate& rate, bool backward) {
  return backward && rate.backward > 0 ? rate.backward : rate.forward;
}

double log_of(double x) { return std::log(std::max(x, 1.0)); }

using Rates = std::vector<const KernelRate*>;

Rates with(const Rates& rates, std::size_t axis, double value) {
  Rates some;
  std::ranges::copy_if(rates, std::back_inserter(some),
                       [&](const KernelRate* rate) { return rate->size[axis] == value; });
  return some;
}

// Between the two measured values around that of the last axis, each as the axes before it say: so
// that a grid need not be whole. The last axes (channels, taps) tell kernels apart, the first ones
// how much of the same there is.
double logarithm(const Rates& rates, const std::vector<double>& size, std::size_t axes,
                 bool backward) {
  if (axes == 0) return std::log(rate_of(*rates.front(), backward));
  const std::size_t axis = axes - 1;
  double low = 0, high = 0;  // 0: none
  for (const KernelRate* rate : rates) {
    const double at = rate->size[axis];
    if (at <= size[axis] && at > low) low = at;
    if (at >= size[axis] && (high == 0 || at < high)) high = at;
  }
  if (low == 0) low = high;
  if (high == 0) high = low;
  const double below = logarithm(with(rates, axis, low), size, axis, backward);
  if (low == high) return below;
  const double part = (log_of(size[axis]) - log_of(low)) / (log_of(high) - log_of(low));
  const double above = logarithm(with(rates, axis, high), size, axis, backward);
  return below + part * (above - below);
}

}  // namespace

RateTable::RateTable(const Device& device, const std::string& kernel,
                     const std::string& precision) {
  static const std::string kInput = "_input";
  if (take(device, kernel, precision)) return;
  if (kernel.ends_with(kInput) &&
      take(device, kernel.substr(0, kernel.size() - kInput.size()), precision))
    return;
  if (precision != "fp32") *this = RateTable(device, kernel, "fp32");
}

bool RateTable::take(const Device& device, const std::string& kernel,
                     const std::string& precision) {
  for (const KernelRate& rate : device.rates) {
    if (rate.kernel == kernel && rate.precision == precision) rates_.push_back(&rate);
  }
  return !rates_.empty();
}

double RateTable::at(const std::vector<double>& size, bool backward) const {
  if (rates_.empty()) return 0;
  Rates alike;
  for (const KernelRate* rate : rates_) {
    const bool usable = rate_of(*rate, backward) > 0 && rate->size.size() == size.size() &&
                        std::ranges::all_of(rate->size, [](double n) { return n > 0; });
    if (usable) alike.push_back(rate);
  }
  // Of any size, or of a size that means something else.
  if (alike.empty()) return rate_of(*rates_.front(), backward);
  return std::exp(logarithm(alike, size, size.size(), backward));
}

}  // namespace lockstep::plan
