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
  int tied = -1;            // linear: the layer whose weight it shares
};

struct Graph {
  std::vector<Value> values;  // [0] is the data
  std::vector<GraphLayer> layers;
  int output = -1;  // value
};

// What a model must fit: members as in ProgramOptions.
struct GraphOptions {
  Shape sample;
  std::int64_t outputs = 1;  // used where a layer leaves `out` to it, and checked at the end
  bool tokens = false;
  std::int64_t labels = 1, cache = 0;
};

// Throws UserError naming the layer for an unknown kind or input, a shape that does not fit, a
// layer that nobody uses, two layers of one name, blocks in pieces, weights that cannot be shared.
Graph make_graph(const std::vector<LayerSpec>& layers, const GraphOptions& options);

// The shape of a layer's output; fills in what the layer left to its inputs (`out`, kernels of all
// dimensions, ...). in: shapes of its inputs; an image without channels gets one. Throws UserError.
Shape infer_shape(LayerSpec& spec, std::vector<Shape>& in, const GraphOptions& options);

}  // namespace lockstep::nn
