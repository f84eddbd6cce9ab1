// The ops on a cuda device. Calls only give work to the stream of their arguments.
#pragma once
#include <memory>

#include "lockstep/ops/loss.h"
#include "lockstep/ops/loss_head.h"
#include "lockstep/ops/op.h"

namespace lockstep::ops {

std::unique_ptr<Op> make_cuda(Device& device, const Linear& d);
std::unique_ptr<Op> make_cuda(Device& device, const Convolution& d);
bool bf16_pays_on_cuda(const Device& device, const Convolution& c);
std::unique_ptr<Op> make_cuda(Device& device, const Pool& d);
std::unique_ptr<Op> make_cuda(Device& device, const BatchNorm& d);
std::unique_ptr<Op> make_cuda(Device& device, const LayerNorm& d);
std::unique_ptr<Op> make_cuda(Device& device, const RmsNorm& d);
std::unique_ptr<Op> make_cuda(Device& device, const Activate& d);
std::unique_ptr<Op> make_cuda(Device& device, const Add& d);
std::unique_ptr<Op> make_cuda(Device& device, const Dropout& d);
std::unique_ptr<Op> make_cuda(Device& device, const Embedding& d);
std::unique_ptr<Op> make_cuda(Device& device, const Positions& d);
std::unique_ptr<Op> make_cuda(Device& device, const Attention& d);
std::unique_ptr<Op> make_cuda(Device& device, const SwiGlu& d);
std::unique_ptr<LossHead> make_cuda(Device& device, const LinearCrossEntropy& d);
std::unique_ptr<Loss> make_cuda(Device& device, const LossForm& d);

}  // namespace lockstep::ops
