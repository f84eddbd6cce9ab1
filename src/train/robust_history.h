// The last values of a number that is watched, and how far a further one lies above them: its
// robust z-score, (x - median) / (1.4826 MAD), where MAD is the median distance from the median
// and 1.4826 makes it the deviation of a normal distribution (Iglewicz and Hoaglin 1993). Allocates
// once.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace lockstep::train {

class RobustHistory {
 public:
  explicit RobustHistory(std::size_t window);

  void push(double value);  // the oldest of a full window goes
  std::size_t size() const { return size_; }
  double at(std::size_t i) const;  // 0: the oldest
  void clear() { size_ = next_ = 0; }

  struct Verdict {
    double score = 0;  // 0 until the window is full, and where more than half of it is one number
    double median = 0;
  };
  Verdict judge(double value);

 private:
  std::vector<double> values_;   // a ring
  std::vector<double> scratch_;  // of judge()
  std::size_t size_ = 0, next_ = 0;
};

// As numpy's: the mean of the two in the middle of an even number. Reorders the values.
double median(std::span<double> values);

}  // namespace lockstep::train
