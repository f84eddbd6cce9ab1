// Says how far an import is, every hundredth: over its stages, a survey and the writing.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>

namespace lockstep::data {

class Progress {
 public:
  Progress(const std::function<void(double fraction)>& tell, std::int64_t total)
      : tell_(tell), total_(total) {}
  // From here on, `total` is to be done while the fraction goes from where it is to `until`.
  void stage(double until, std::int64_t total) {
    begin_ = end_;
    end_ = until;
    total_ = std::max<std::int64_t>(total, 1);
    done_ = 0;
  }
  void add(std::int64_t more) { done_ += more, say(); }
  void reach(std::int64_t done) { done_ = std::max(done, done_), say(); }

 private:
  void say() {
    const double part = static_cast<double>(std::min(done_, total_)) / static_cast<double>(total_);
    const double fraction = begin_ + (end_ - begin_) * part;
    const auto hundredths = static_cast<std::int64_t>(fraction * 100);
    if (hundredths == told_ || !tell_) return;
    told_ = hundredths;
    tell_(fraction);
  }
  const std::function<void(double)>& tell_;
  std::int64_t total_, done_ = 0, told_ = 0;
  double begin_ = 0, end_ = 1;
};

}  // namespace lockstep::data
