// Which layers run as one op: activations, dropouts and residual additions join the layer that
// makes their input. A function of the graph alone; knows nothing of memory.
#pragma once
#include <vector>

#include "nn/graph.h"

namespace lockstep::nn {

// Layers in order of computation; -1: none.
struct Chain {
  int first = -1;  // the layer that gives the op its kind and parameters
  int activation = -1, dropout = -1, add = -1, pool = -1;
  int last() const;  // the op runs at its place, where all inputs are there
};

// All layers of the graph, in order of last().
//   linear      [relu, gelu, gelu_tanh or silu] [dropout] [add]
//   batch_norm  [add] [relu]
//   conv, add   [relu]
//   leaky_relu  [max_pool], as one pool whose maximum is activated: fewer numbers, the same ones
// A layer joins only what nobody else reads and what is of its own block.
std::vector<Chain> find_chains(const Graph& graph);

}  // namespace lockstep::nn
