#include "lockstep/bench/measure.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "lockstep/core/clock.h"

namespace lockstep::bench {
namespace {

double at(const std::vector<double>& sorted, double part) {
  const double place = part * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Timing timing_of(std::vector<double> seconds) {
  std::ranges::sort(seconds);
  Timing timing;
  timing.median = at(seconds, 0.5);
  timing.least = seconds.front();
  timing.most = seconds.back();
  timing.spread = timing.median > 0 ? (at(seconds, 0.75) - at(seconds, 0.25)) / timing.median : 0;
  timing.repetitions = static_cast<std::int64_t>(seconds.size());
  return timing;
}

Timing measure(comm::Communicator& communicator, const std::function<void()>& work,
               const MeasureOptions& options) {
  // The slowest rank's, so that all ranks decide alike.
  const auto of_all = [&](double seconds) {
    return options.together
               ? static_cast<double>(communicator.max(static_cast<std::int64_t>(seconds * 1e9))) *
                     1e-9
               : seconds;
  };
  const auto repetition = [&](std::int64_t calls) {
    if (options.together) communicator.barrier();
    const double start = seconds_now();
    for (std::int64_t i = 0; i < calls; ++i) work();
    if (options.settle) options.settle();
    return of_all(seconds_now() - start) / static_cast<double>(calls);
  };
  repetition(1);  // pages, caches, what is made at the first use
  const double once = std::max(repetition(1), 1e-9);
  const double each = options.seconds / static_cast<double>(options.repetitions);
  const auto calls = std::max<std::int64_t>(1, static_cast<std::int64_t>(each / once));
  std::vector<double> seconds;
  for (std::int64_t i = 0; i < options.repetitions; ++i) seconds.push_back(repetition(calls));
  Timing timing = timing_of(std::move(seconds));
  timing.calls = calls;
  return timing;
}

}  // namespace lockstep::bench
