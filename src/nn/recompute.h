// Which forward ops run twice, so that the activations of a block need not live from forward to
// backward (Chen et al. 2016). Knows nothing of memory or time.
#pragma once
#include <memory>
#include <vector>

#include "lockstep/nn/program.h"
#include "lockstep/ops/op.h"
#include "nn/graph.h"
#include "nn/lower.h"

namespace lockstep::nn {

struct Repeats {
  std::vector<bool> again;  // per op: its forward runs once more before the backward of its block
  // Per value: what backward reads of it is what forward left (false: what the repeat writes).
  std::vector<bool> kept;
};

// A block keeps what other blocks or the loss read. An op whose output nobody in backward reads is
// not repeated, nor is the last block, whose backward comes at once.
Repeats find_repeats(const Lowered& lowered, const std::vector<std::unique_ptr<ops::Op>>& ops,
                     Recompute recompute);

}  // namespace lockstep::nn
