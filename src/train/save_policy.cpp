#include "train/save_policy.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "lockstep/core/error.h"

namespace lockstep::train {
namespace {

constexpr double kFirst = 120;       // seconds to the first save of auto, which measures
constexpr double kLeastCost = 1e-3;  // seconds; less than this is not measured
constexpr double kNoticeable = 1.25;

}  // namespace

double best_interval(double cost, double mtbf) {
  if (cost >= 2 * mtbf) return mtbf;
  const double part = cost / (2 * mtbf);
  return std::sqrt(2 * cost * mtbf) * (1 + std::sqrt(part) / 3 + part / 9) - cost;
}

SavePolicy::SavePolicy(const std::string& every, double mtbf) : mtbf_(mtbf) {
  if (every == "end") return;
  if (every == "auto") {
    measures_ = true;
    seconds_ = kFirst;
    return;
  }
  std::int64_t number = 0;
  const auto [rest, error] = std::from_chars(every.data(), every.data() + every.size(), number);
  const std::string unit(rest, every.data() + every.size());
  if (error == std::errc() && number > 0) {
    if (unit == "s") seconds_ = static_cast<double>(number);
    if (unit == "min") seconds_ = 60.0 * static_cast<double>(number);
    if (unit == "steps") steps_ = number;
    if (unit == "epoch") epochs_ = number;
  }
  if (seconds_ == 0 && steps_ == 0 && epochs_ == 0)
    throw UserError(
        "checkpoint.every = \"{}\" is not an interval; write \"10min\", \"500steps\", \"1epoch\", "
        "\"end\" or \"auto\"",
        every);
}

bool SavePolicy::learn(double cost) {
  if (!measures_) return false;
  cost = std::max(cost, kLeastCost);
  cost_ = cost_ < 0 ? cost : (cost_ + cost) / 2;
  seconds_ = best_interval(cost_, mtbf_);
  if (told_ > 0 && seconds_ < told_ * kNoticeable && told_ < seconds_ * kNoticeable) return false;
  told_ = seconds_;
  return true;
}

}  // namespace lockstep::train
