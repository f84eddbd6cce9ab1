// How often which values occur: 64 parts whose width is a power of two and whose edges are its
// multiples. The width is the smallest that holds all values, so that a histogram is a function of
// the values alone: not of their order, nor of the histograms that it was merged from. Knows
// doubles.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "lockstep/data/dataset.h"

namespace lockstep::data {

class Histogram {
 public:
  Histogram() = default;
  explicit Histogram(const Figures& figures);  // as give_to() gave it
  // Finite values that lie in [minimum, maximum], both of which occur.
  void add(std::span<const double> values, double minimum, double maximum);
  void merge(const Histogram& other);
  void give_to(Figures& figures) const;
  std::int64_t count() const { return count_; }

 private:
  using Counts = std::array<std::int64_t, Figures::kParts>;
  void widen(double minimum, double maximum);

  // Trivially copied: ranks send it as bytes.
  std::int64_t count_ = 0;
  double minimum_ = 0, maximum_ = 0;
  // Of values that differ: part i holds [(first_ + i) 2^exponent_, (first_ + i + 1) 2^exponent_).
  std::int64_t exponent_ = 0, first_ = 0;
  Counts counts_{};
};

}  // namespace lockstep::data
