// Says how far an import is, every hundredth.
#pragma once
#include <cstdint>
#include <functional>

namespace lockstep::data {

class Progress {
 public:
  Progress(const std::function<void(double fraction)>& tell, std::int64_t total)
      : tell_(tell), total_(total) {}
  void add(std::int64_t more) {
    done_ += more;
    if (done_ * 100 / total_ == told_ || !tell_) return;
    told_ = done_ * 100 / total_;
    tell_(static_cast<double>(done_) / static_cast<double>(total_));
  }

 private:
  const std::function<void(double)>& tell_;
  std::int64_t total_, done_ = 0, told_ = 0;
};

}  // namespace lockstep::data
