// Learning-rate schedules, each behind a linear warm-up.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "lockstep/optim/optimizer.h"

namespace lockstep::optim {

double learning_rate(const Options& o, std::int64_t step) {
  if (step < o.warmup) return o.lr * static_cast<double>(step + 1) / static_cast<double>(o.warmup);

  const std::int64_t decaying = o.total_steps - o.warmup;  // steps
  const double progress =
      decaying > 0
          ? std::min(1.0, static_cast<double>(step - o.warmup) / static_cast<double>(decaying))
          : 1.0;
  switch (o.schedule) {
    case Schedule::kConstant:
      break;
    case Schedule::kStep:  // counted from the run's first step, warm-up included
      return std::max(o.min_lr, o.lr * std::pow(o.step_factor, step / o.step_every));
    case Schedule::kLinear:
      return o.lr + (o.min_lr - o.lr) * progress;
    case Schedule::kCosine:  // Loshchilov & Hutter 2017, eq. 5, without restarts
      return o.min_lr + (o.lr - o.min_lr) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
    case Schedule::kInverseSqrt: {  // Vaswani et al. 2017, eq. 3, with its peak at lr
      const auto peak = static_cast<double>(std::max<std::int64_t>(o.warmup, 1));
      return std::max(o.min_lr, o.lr * std::sqrt(peak / static_cast<double>(step + 1)));
    }
  }
  return o.lr;
}

}  // namespace lockstep::optim
