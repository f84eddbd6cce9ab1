// Sums over the blocks of a parameter in the one order that does not depend on shards
// (NUMERICS.md 8). Never allocates.
#pragma once
#include <array>
#include <cstdint>

namespace lockstep::optim {

// Sums its values as the leaves of a binary tree over the next power of two, absent leaves skipped:
// the only addition is that of two siblings.
class SiblingSum {
 public:
  void push(double value) {
    // The trailing ones of the count are the complete nodes that wait for their right sibling.
    for (std::int64_t ones = count_; ones & 1; ones >>= 1) value = waiting_[--size_] + value;
    waiting_[size_++] = value;
    ++count_;
  }
  double total() const {
    if (size_ == 0) return 0;
    double sum = waiting_[size_ - 1];
    for (int i = size_ - 2; i >= 0; --i) sum = waiting_[i] + sum;
    return sum;
  }

 private:
  std::array<double, 64> waiting_{};  // left siblings, largest first
  int size_ = 0;
  std::int64_t count_ = 0;
};

}  // namespace lockstep::optim
