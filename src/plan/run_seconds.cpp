#include "plan/run_seconds.h"

#include <algorithm>
#include <cmath>

#include "train/save_policy.h"

namespace lockstep::plan {
namespace {

// Checkpoints of the run; the last one is written at its end.
double saves(const Job& job, const Layout& layout, double seconds, double cost) {
  if (job.checkpoint_every.empty()) return 0;
  train::SavePolicy policy(job.checkpoint_every, job.mtbf / static_cast<double>(layout.nodes()));
  if (policy.measures()) policy.learn(cost);
  if (policy.seconds() > 0) return 1 + std::floor(seconds / policy.seconds());
  if (!policy.counts()) return 1;
  std::int64_t count = 0;
  for (std::int64_t step = 1; step <= job.steps; ++step) {
    const std::int64_t epoch = step % job.steps_per_epoch == 0 ? step / job.steps_per_epoch : 0;
    count += policy.due_by_count(step, epoch) ? 1 : 0;
  }
  return static_cast<double>(std::max<std::int64_t>(1, count));
}

}  // namespace

double checkpoint_seconds(const Job& job, const Machine& machine, const Layout& layout) {
  const Files& files = machine.files;
  double rate = files.write * static_cast<double>(layout.nodes());
  if (files.total_write > 0) rate = std::min(rate, files.total_write);
  return rate > 0 ? files.latency + job.checkpoint_bytes / rate : 0;
}

double checkpoint_interval(const Job& job, const Layout& layout, double seconds_of_one) {
  if (seconds_of_one <= 0 || job.mtbf <= 0) return 0;
  return train::best_interval(seconds_of_one, job.mtbf / static_cast<double>(layout.nodes()));
}

double run_seconds(const Job& job, const Machine& machine, const Layout& layout,
                   const RankWork& work, double step) {
  const double stepping = step * static_cast<double>(job.steps);
  const double evaluating =
      work.forward * job.evaluated / static_cast<double>(job.microbatch * layout.ranks);
  const double one = checkpoint_seconds(job, machine, layout);
  const double count = saves(job, layout, stepping + evaluating, one);
  // Steps go on while one is written, from a copy that each rank makes of its part.
  const double copied = 2 * job.checkpoint_bytes / static_cast<double>(layout.ranks);
  const double bandwidth = machine.device.memory_bandwidth;
  return stepping + evaluating + (bandwidth > 0 ? count * copied / bandwidth : 0) +
         (count > 0 ? one : 0);
}

}  // namespace lockstep::plan
