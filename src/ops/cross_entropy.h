// Softmax cross-entropy over rows, for whole batches and for blocks of them. Knows nothing of where
// the outputs come from.
#pragma once
#include <cstdint>

#include "lockstep/ops/loss.h"

namespace lockstep::ops {

// Adds the losses of rows [0, valid) to total, in order, and the number of those with a label to
// counted. d_outputs (null: not wanted) may be outputs.
void add_cross_entropy(const LossArgs& args, double& total, std::int64_t& counted);

}  // namespace lockstep::ops
