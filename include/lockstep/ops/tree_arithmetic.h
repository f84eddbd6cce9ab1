// The additions of a fold on a cuda device, by kernels; to be handed to the fold.
#pragma once
#include <memory>

#include "lockstep/device/tree_arithmetic.h"

namespace lockstep::ops {

// device: of kind cuda; another adds on the host.
std::unique_ptr<TreeArithmetic> make_tree_arithmetic(Device& device);

}  // namespace lockstep::ops
