// Layers resolved to values: who feeds whom, and the shape of one sample everywhere. No memory, no
// device, no ranks.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/core/shape.h"
#include "lockstep/nn/model.h"

namespace lockstep::nn {

struct Value {
  Shape sample;                // without the microbatch; channels last
  int producer = -1;           // layer, or -1 for the data
  std::vector<int> consumers;  // layers, in order
};

struct GraphLayer {
  LayerSpec spec;           // name filled in, kernel/stride/padding expanded to all dimensions
  std::vector<int> inputs;  // values
  int output = -1;          // value
};

struct Graph {
  std::vector<Value> values;  // [0] is the data
  std::vector<GraphLayer> layers;
  int output = -1;  // value
};

// Throws UserError naming the layer for an unknown kind or input, a shape that does not fit, a
// layer that nobody uses, two layers of one name. outputs: the width that the loss needs (used
// where a layer leaves `out` to it, and checked at the end).
Graph make_graph(const std::vector<LayerSpec>& layers, const Shape& sample, std::int64_t outputs);

}  // namespace lockstep::nn
