// The ops on a cuda device. Calls only give work to the stream of their arguments.
#pragma once
#include <memory>

#include "lockstep/ops/loss.h"
#include "lockstep/ops/loss_head.h"
#include "lockstep/ops/op.h"
#include "lockstep/ops/tree_arithmetic.h"

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
// logits_bytes: of the block of logits that exists at a time.
std::unique_ptr<LossHead> make_cuda(Device& device, const LinearCrossEntropy& d,
                                    std::int64_t logits_bytes = 256 << 20);
std::unique_ptr<Loss> make_cuda(Device& device, const LossForm& d);
std::unique_ptr<TreeArithmetic> make_cuda_tree_arithmetic();

}  // namespace lockstep::ops
