// Times a piece of work again and again, and says how sure the figure is. All ranks of a collective
// measurement call with the same arguments; the time of a repetition is that of the slowest rank.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "lockstep/comm/communicator.h"

namespace lockstep::bench {

struct Timing {
  double median = 0, least = 0, most = 0;   // seconds of one call of the work
  double spread = 0;                        // interquartile range / median
  std::int64_t repetitions = 0, calls = 0;  // calls in each repetition
};

struct MeasureOptions {
  double seconds = 0.2;          // that all repetitions should take together, at least
  std::int64_t repetitions = 7;  // at least
  bool together = false;         // a barrier before each repetition; the slowest rank's time counts
  // At the end of each repetition, within its time: waits for a device.
  std::function<void()> settle = {};
};

// One call to warm up, then as many calls a repetition as take a measurable time.
Timing measure(comm::Communicator& communicator, const std::function<void()>& work,
               const MeasureOptions& options = {});

// The statistics of so many repetitions, in any order: quartiles lie between neighbours, linearly.
Timing timing_of(std::vector<double> seconds);

}  // namespace lockstep::bench
