// Ops that are passes over memory (norms, activations, sums, dropout, positions, gates): the checks
// of their descriptions, their costs and what they keep, wherever they run.
#pragma once
#include "lockstep/ops/op.h"

namespace lockstep::ops {

// Throw: a shape that cannot be is a bug of the caller, a number out of range is the user's.
void check(const BatchNorm& d);
void check(const LayerNorm& d);
void check(const RmsNorm& d);
void check(const Activate& d);
void check(const Add& d);
void check(const Dropout& d);
void check(const Positions& d);
void check(const SwiGlu& d);
// In training: one value of a channel has no variance.
void check_has_variance(const BatchNorm& d);
// Tokens [position, position + tokens) must lie in the context.
void check_position(const Positions& d, std::int64_t position);

Cost cost_of(const BatchNorm& d);
Cost cost_of(const LayerNorm& d);
Cost cost_of(const RmsNorm& d);
Cost cost_of(const Activate& d);
Cost cost_of(const Add& d);
Cost cost_of(const Dropout& d);
Cost cost_of(const Positions& d);
Cost cost_of(const SwiGlu& d);

// Whether the derivative is a function of the output alone.
bool derives_from_output(Activation activation);

}  // namespace lockstep::ops
