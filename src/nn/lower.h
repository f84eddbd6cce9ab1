// The graph as ops: fuses activations and residual additions into the ops before them, and lays out
// the parameter table in the order of the ops.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "lockstep/core/parameter_table.h"
#include "lockstep/ops/op.h"
#include "nn/graph.h"

namespace lockstep::nn {

using OpDescription =
    std::variant<ops::Linear, ops::Convolution, ops::Pool, ops::BatchNorm, ops::LayerNorm,
                 ops::RmsNorm, ops::Activate, ops::Add, ops::Dropout>;

struct OpSpec {
  OpDescription description;
  std::string layer;            // the name that people know it by
  std::vector<int> inputs;      // values
  int output = -1;              // value
  std::vector<int> parameters;  // indices in the table
  std::vector<int> statistics;
  std::uint32_t random = 0;  // the op field of its random numbers: the layer's place in the model
  bool needs_backward = false;  // a parameter, or an input that needs a gradient
};

struct Lowered {
  std::vector<OpSpec> ops;
  ParameterTable table;
  std::vector<int> alias;            // value -> the value whose memory it shares (flatten)
  std::vector<bool> needs_gradient;  // per value
};

Lowered lower(const Graph& graph, std::int64_t microbatch);
std::unique_ptr<ops::Op> make_op(Device& device, const OpDescription& description);

}  // namespace lockstep::nn
