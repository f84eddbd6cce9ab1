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
#include "nn/recompute.h"
#include "nn/schedule.h"

namespace lockstep::nn {

// Indices into Layout::placement; -1: none.
struct OpSlots {
  // What forward writes and reads. An op with a repeated forward has a second set, which backward
  // reads too; the others' backward reads the first, but for inputs that a repeat writes.
  struct Side {
    std::vector<int> inputs;
    int output = -1, saved = -1;
    std::vector<int> lane_statistics;
  };
  Side forward, backward;
  int d_output = -1;
  std::vector<int> d_inputs;  // where the op writes; -1: nobody needs it
  std::vector<int> add_into;  // >= 0: the written gradient is then added to this one
  bool accumulate = false;    // the op itself adds to d_inputs[0]
  int workspace[kDirections] = {-1, -1, -1};  // in Layout::workspace
};

struct Layout {
  std::vector<OpSlots> ops;
  int data = 0, loss_input = -1, d_loss_input = -1;
  int loss_workspace = -1;  // of the loss or the head, in workspace
  std::vector<int> ties;    // gradient of a shared weight, from its reader to the embedding
  Placement placement;
  // By slot: the buffer lives in one sweep and holds one slice at a time.
  std::vector<bool> one_slice;
  Placement workspace;  // of the ops, each from its first call of a direction to the last
};

struct LayoutInput {
  const Graph& graph;
  const Lowered& lowered;
  const std::vector<std::unique_ptr<ops::Op>>& ops;
  const Repeats& repeats;
  const Schedule& schedule;
  std::int64_t microbatch = 1;
  std::size_t loss_workspace_bytes = 0;
  bool trains = true;
};
Layout make_layout(const LayoutInput& input);

}  // namespace lockstep::nn
