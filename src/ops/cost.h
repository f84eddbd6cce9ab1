// What ops cost and keep wherever they run: functions of their descriptions.
#pragma once
#include "lockstep/ops/loss_head.h"
#include "lockstep/ops/op.h"

namespace lockstep::ops {

Cost cost_of(const Linear& d);
// Places of the kernel that lie in the padding are counted, as everywhere in the field.
Cost cost_of(const Convolution& c);
// One comparison or addition for each place of a window.
Cost cost_of(const Pool& p);
Cost cost_of(const Embedding& d);
// The usual three products, however they are computed.
Cost cost_of(const LinearCrossEntropy& d);

// Whether the activation's input is saved. relu's derivative can be told from the output, unless
// dropout or the residual hide it there.
bool keeps_activation_input(const Linear& d);
// Whether the gradient behind the product differs from d_output.
bool changes_gradient(const Linear& d);

}  // namespace lockstep::ops
