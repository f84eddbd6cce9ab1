#include "train/robust_history.h"

#include <algorithm>
#include <cmath>

namespace lockstep::train {

constexpr double kDeviationsPerMad = 1.4826;

double median(std::span<double> values) {
  const std::size_t half = values.size() / 2;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(half);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

RobustHistory::RobustHistory(std::size_t window) : values_(window), scratch_(window) {}

void RobustHistory::push(double value) {
  values_[next_] = value;
  next_ = (next_ + 1) % values_.size();
  size_ = std::min(size_ + 1, values_.size());
}

double RobustHistory::at(std::size_t i) const {
  return values_[(next_ + values_.size() - size_ + i) % values_.size()];
}

RobustHistory::Verdict RobustHistory::judge(double value) {
  if (size_ < values_.size()) return {};
  std::copy(values_.begin(), values_.end(), scratch_.begin());
  Verdict verdict;
  verdict.median = median(scratch_);
  for (std::size_t i = 0; i < size_; ++i) scratch_[i] = std::abs(values_[i] - verdict.median);
  const double distance = median(scratch_);
  if (distance > 0) verdict.score = (value - verdict.median) / (kDeviationsPerMad * distance);
  return verdict;
}

}  // namespace lockstep::train
