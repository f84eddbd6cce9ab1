// A convolution whose kernel covers one place is a matrix product over the channels; cuBLASLt does
// it where the data lies, while cuDNN reorders fp32 activations to channels-first and back. Knows no
// cuDNN.
#pragma once
#include <memory>

#include "lockstep/ops/op.h"

namespace lockstep::ops {

bool is_pointwise(const Convolution& c);
std::unique_ptr<Op> make_pointwise(Device& device, const Convolution& c);

}  // namespace lockstep::ops
