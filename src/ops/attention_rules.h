// Attention's checks, cost and rotation angles, wherever it runs.
#pragma once
#include <vector>

#include "lockstep/ops/op.h"

namespace lockstep::ops {

// Throw: a shape that cannot be is a bug of the caller, a combination that does not fit is the
// user's.
void check(const Attention& d);
// Tokens [position, position + tokens) must lie in the cache; inference does not drop.
void check_cached(const Attention& d, const Args& args);

Cost cost_of(const Attention& d);

// cos and sin of the angles of position p at [p * width] and [p * width + width / 2], in double,
// then rounded; as many positions as there are keys. Empty where nothing is rotated.
std::vector<float> rotation_table(const Attention& d);

}  // namespace lockstep::ops
