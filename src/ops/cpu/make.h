// The ops on the cpu device.
#pragma once
#include <memory>

#include "lockstep/ops/loss.h"
#include "lockstep/ops/loss_head.h"
#include "lockstep/ops/op.h"

namespace lockstep::ops {

std::unique_ptr<Op> make_cpu(const Linear& d);
std::unique_ptr<Op> make_cpu(const Convolution& d);
bool bf16_pays_on_cpu(const Convolution& c);
std::unique_ptr<Op> make_cpu(const Pool& d);
std::unique_ptr<Op> make_cpu(const BatchNorm& d);
std::unique_ptr<Op> make_cpu(const LayerNorm& d);
std::unique_ptr<Op> make_cpu(const RmsNorm& d);
std::unique_ptr<Op> make_cpu(const Activate& d);
std::unique_ptr<Op> make_cpu(const Add& d);
std::unique_ptr<Op> make_cpu(const Dropout& d);
std::unique_ptr<Op> make_cpu(const Embedding& d);
std::unique_ptr<Op> make_cpu(const Positions& d);
std::unique_ptr<Op> make_cpu(const Attention& d);
std::unique_ptr<Op> make_cpu(const SwiGlu& d);
std::unique_ptr<LossHead> make_cpu(const LinearCrossEntropy& d);
std::unique_ptr<Loss> make_cpu(const LossForm& d);

}  // namespace lockstep::ops
