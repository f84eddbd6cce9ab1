// When each buffer of a program lives, and therefore where it lies: activations, gradients, saved
// tensors and temporaries of one microbatch in one arena.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "lockstep/ops/op.h"
#include "nn/graph.h"
#include "nn/lower.h"
#include "nn/memory_plan.h"
#include "nn/schedule.h"

namespace lockstep::nn {

// Indices into Layout::placement; -1: none.
struct OpSlots {
  std::vector<int> inputs;
  int output = -1, d_output = -1;
  std::vector<int> d_inputs;  // where the op writes; -1: nobody needs it
  std::vector<int> add_into;  // >= 0: the written gradient is then added to this one
  std::vector<int> lane_statistics;
  int saved = -1;
  int forward_workspace = -1, backward_workspace = -1;  // in Layout::workspace
};

struct Layout {
  std::vector<OpSlots> ops;
  int data = 0, output = -1, d_output = -1;
  Placement placement;
  // By slot: the buffer lives in one sweep and holds one slice at a time.
  std::vector<bool> one_slice;
  Placement workspace;  // of the ops, each from its first call of a direction to the last
};

Layout make_layout(const Graph& graph, const Lowered& lowered,
                   const std::vector<std::unique_ptr<ops::Op>>& ops, const Schedule& schedule,
                   std::int64_t microbatch);

}  // namespace lockstep::nn
