#include "histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr int kExact = 1000;  // powers of two with smaller exponents multiply without overflow

// floor(value / 2^exponent), also where the quotient of a negative value is too small for a double.
std::int64_t place_of(double value, std::int64_t exponent) {
  const double floor = std::floor(std::ldexp(value, static_cast<int>(-exponent)));
  return floor == 0 && value < 0 ? -1 : static_cast<std::int64_t>(floor);
}

std::int64_t shifted(std::int64_t place, std::int64_t by) {
  return place >> std::min<std::int64_t>(by, 63);
}

// The smallest at which both values lie in one row of kParts.
std::int64_t exponent_for(double minimum, double maximum) {
  const double distance = maximum / 2 - minimum / 2;  // halves: it cannot overflow
  // At 2^(e - 6) they are 127 parts apart at least, and |value| is below 2^61 of them.
  std::int64_t exponent = distance > 0 ? std::ilogb(distance) - 6 : -1080;
  while (place_of(maximum, exponent) - place_of(minimum, exponent) >= Figures::kParts) ++exponent;
  return exponent;
}

double edge(std::int64_t place, std::int64_t exponent) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  return std::clamp(std::ldexp(static_cast<double>(place), static_cast<int>(exponent)), -kLargest,
                    kLargest);
}

// A single value has parts of a 32nd of its power of two.
std::int64_t exponent_of_one(double value) {
  return value == 0 ? 0 : static_cast<std::int64_t>(std::ilogb(value)) - 5;
}

}  // namespace

Histogram::Histogram(const Figures& figures) {
  if (figures.histogram.size() != Figures::kParts) return;
  for (const std::int64_t n : figures.histogram) count_ += n;
  if (count_ == 0) return;
  minimum_ = figures.minimum, maximum_ = figures.maximum;
  if (minimum_ == maximum_) return;
  exponent_ = exponent_for(minimum_, maximum_);
  first_ = place_of(minimum_, exponent_);
  std::copy(figures.histogram.begin(), figures.histogram.end(), counts_.begin());
}

// To the width that these values need too. Parts of a part are added up exactly.
void Histogram::widen(double minimum, double maximum) {
  const bool single = minimum_ == maximum_;
  if (count_ > 0) {
    minimum = std::min(minimum, minimum_);
    maximum = std::max(maximum, maximum_);
  }
  const double single_value = minimum_;
  minimum_ = minimum, maximum_ = maximum;
  if (minimum == maximum) return;
  const Counts before = counts_;
  const std::int64_t exponent = exponent_for(minimum, maximum), old = exponent_, first = first_;
  exponent_ = exponent;
  first_ = place_of(minimum, exponent);
  counts_ = {};
  if (count_ == 0) return;
  if (single) {
    counts_[static_cast<std::size_t>(place_of(single_value, exponent) - first_)] = count_;
    return;
  }
  for (std::size_t i = 0; i < before.size(); ++i)
    if (before[i] > 0)
      counts_[static_cast<std::size_t>(
          shifted(first + static_cast<std::int64_t>(i), exponent - old) - first_)] += before[i];
}

void Histogram::add(std::span<const double> values, double minimum, double maximum) {
  if (values.empty()) return;
  widen(minimum, maximum);
  count_ += static_cast<std::int64_t>(values.size());
  if (minimum_ == maximum_) return;
  if (std::abs(exponent_) > kExact) {
    for (const double v : values)
      ++counts_[static_cast<std::size_t>(place_of(v, exponent_) - first_)];
    return;
  }
  const double scale = std::ldexp(1.0, static_cast<int>(-exponent_));
  for (const double v : values) {
    const double floor = std::floor(v * scale);
    const auto place = floor == 0 && v < 0 ? std::int64_t{-1} : static_cast<std::int64_t>(floor);
    ++counts_[static_cast<std::size_t>(place - first_)];
  }
}

void Histogram::merge(const Histogram& other) {
  if (other.count_ == 0) return;
  Histogram wide = other;
  if (count_ > 0) wide.widen(minimum_, maximum_);
  widen(other.minimum_, other.maximum_);
  count_ += other.count_;
  if (minimum_ == maximum_) return;
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += wide.counts_[i];
}

void Histogram::give_to(Figures& figures) const {
  if (count_ == 0) return;
  const bool single = minimum_ == maximum_;
  const std::int64_t exponent = single ? exponent_of_one(minimum_) : exponent_;
  const std::int64_t first = single ? place_of(minimum_, exponent) : first_;
  figures.low = edge(first, exponent);
  figures.high = edge(first + Figures::kParts, exponent);
  figures.histogram.assign(counts_.begin(), counts_.end());
  if (single) figures.histogram.front() = count_;
}

}  // namespace lockstep::data
