// Which stretches of a pass read which parameters, for a program that holds them for no longer, and
// where the packed weights of each stretch lie. Knows nothing of where parameters come from.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "lockstep/nn/program.h"
#include "lockstep/ops/loss_head.h"
#include "lockstep/ops/op.h"
#include "nn/lower.h"
#include "nn/schedule.h"

namespace lockstep::nn {

// An op at work in a use.
struct UseReader {
  int op = 0;  // number of ops: the head
  ops::Reader direction = ops::Reader::kForward;
  // Places in ParameterUse::parameters, in the op's order.
  std::vector<int> parameters, statistics;
  bool packs = false;
  std::size_t packed_at = 0;  // in the region that all uses share
};

struct Uses {
  std::vector<ParameterUse> list;
  std::vector<std::vector<UseReader>> readers;  // of each use
  std::vector<int> at;                          // by time (Schedule): the use; -1: none
  int evaluation = 0;                           // those before the first backward sweep
  std::size_t packed_bytes = 0;                 // of the largest use
  std::size_t most_parameters = 0;              // of a use
};

// Each sweep is a use, and so is the loss, unless it reads no parameter.
Uses find_uses(const Lowered& lowered, const std::vector<std::unique_ptr<ops::Op>>& ops,
               const ops::LossHead* head, const Schedule& schedule);

}  // namespace lockstep::nn
