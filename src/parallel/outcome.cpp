#include "parallel/outcome.h"

#include <algorithm>
#include <cmath>

namespace lockstep::parallel {
namespace {

StepRecord add(const StepRecord& a, const StepRecord& b) {
  return {ops::add(a.lane, b.lane), a.stop_requests + b.stop_requests,
          a.save_requests + b.save_requests};
}

}  // namespace

StepRecord fold_in_tree(std::span<StepRecord> leaves) {
  const std::size_t lanes = leaves.size();
  for (std::size_t width = 1; width < lanes; width *= 2) {
    for (std::size_t i = 0; i + width < lanes; i += 2 * width)
      leaves[i] = add(leaves[i], leaves[i + width]);
  }
  return leaves[0];
}

bool all_finite(const ops::LaneRecord& record) {
  return std::all_of(record.sums.begin(), record.sums.end(),
                     [](double x) { return std::isfinite(x); });
}

double judge(const ParameterTable& table, const optim::Options& options, std::int64_t step,
             const std::function<double(int block)>& sum_of_squares, StepOutcome& outcome) {
  const auto valid = static_cast<double>(std::max<std::int64_t>(1, outcome.total.lane.counts[0]));
  outcome.gradient_norm = optim::global_norm(table, sum_of_squares) / valid;
  outcome.learning_rate = optim::learning_rate(options, step);
  // As PyTorch's clip_grad_norm_: the 1e-6 guards the division.
  const double clipped =
      options.clip > 0 ? std::min(1.0, options.clip / (outcome.gradient_norm + 1e-6)) : 1;
  return 1 / valid * clipped;
}

}  // namespace lockstep::parallel
