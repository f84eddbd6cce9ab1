#include "plan/rate_table.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace lockstep::plan {
namespace {

double rate_of(const KernelRate& rate, bool backward) {
  return backward && rate.backward > 0 ? rate.backward : rate.forward;
}

double log_of(double x) { return std::log(std::max(x, 1.0)); }

// The two measured values around one, and the part of the way from the first to the second.
struct Between {
  double low = 0, high = 0, part = 0;
};

Between between(const std::vector<const KernelRate*>& rates, std::size_t axis, double value) {
  Between b;
  bool has_low = false, has_high = false;
  for (const KernelRate* rate : rates) {
    const double at = rate->size[axis];
    if (at <= value && (!has_low || at > b.low)) b.low = at, has_low = true;
    if (at >= value && (!has_high || at < b.high)) b.high = at, has_high = true;
  }
  if (!has_low) b.low = b.high;
  if (!has_high) b.high = b.low;
  const double width = log_of(b.high) - log_of(b.low);
  b.part = width > 0 ? std::clamp((log_of(value) - log_of(b.low)) / width, 0.0, 1.0) : 0;
  return b;
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
  const bool alike = std::ranges::all_of(
      rates_, [&](const KernelRate* rate) { return rate->size.size() == size.size(); });
  if (!alike || size.empty()) return nearest(size, backward);
  std::vector<Between> axes;
  for (std::size_t axis = 0; axis < size.size(); ++axis)
    axes.push_back(between(rates_, axis, size[axis]));
  double sum = 0, total = 0, last = 0;
  int corners = 0;
  for (const KernelRate* rate : rates_) {
    double weight = rate_of(*rate, backward) > 0 ? 1 : 0;
    for (std::size_t axis = 0; axis < size.size() && weight > 0; ++axis) {
      const Between& b = axes[axis];
      const double at = rate->size[axis];
      weight *= at == b.low && at == b.high ? 1
                : at == b.low               ? 1 - b.part
                : at == b.high              ? b.part
                                            : 0;
    }
    if (weight <= 0) continue;
    sum += weight * std::log(rate_of(*rate, backward));
    total += weight;
    last = rate_of(*rate, backward);
    ++corners;
  }
  if (corners == 1) return last;  // exactly
  return corners > 0 ? std::exp(sum / total) : nearest(size, backward);
}

// By distance in logarithms; of rates of another kernel's form, or of any size, the first.
double RateTable::nearest(const std::vector<double>& size, bool backward) const {
  const KernelRate* found = nullptr;
  double least = 0;
  for (const KernelRate* rate : rates_) {
    double distance = 0;
    if (rate->size.size() == size.size()) {
      for (std::size_t i = 0; i < size.size(); ++i)
        distance += std::pow(log_of(rate->size[i]) - log_of(size[i]), 2);
    }
    if (rate_of(*rate, backward) > 0 && (found == nullptr || distance < least))
      found = rate, least = distance;
  }
  return found == nullptr ? 0 : rate_of(*found, backward);
}

}  // namespace lockstep::plan
