// What the summed gradients and records of a step say: whether they may be applied, the outcome
// that is reported, and what the sums are multiplied by. Of every strategy that sums before it
// updates.
#pragma once
#include <cstdint>
#include <functional>

#include "lockstep/parallel/strategy.h"

namespace lockstep::parallel {

bool all_finite(const ops::LaneRecord& record);

// From outcome.total and the blocks' sums of squares: norm and learning rate of the mean gradient.
// Returns the factor of the sums: 1 / valid count, times the clipping factor.
double judge(const ParameterTable& table, const optim::Options& options, std::int64_t step,
             const std::function<double(int block)>& sum_of_squares, StepOutcome& outcome);

}  // namespace lockstep::parallel
