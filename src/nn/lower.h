// The graph as ops: what each chain of layers computes, who owns which parameter, and the parameter
// table in the order of the ops.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lockstep/core/parameter_table.h"
#include "lockstep/ops/loss_head.h"
#include "lockstep/ops/op.h"
#include "nn/graph.h"

namespace lockstep::nn {

using OpDescription =
    std::variant<ops::Linear, ops::Convolution, ops::Pool, ops::BatchNorm, ops::LayerNorm,
                 ops::RmsNorm, ops::Activate, ops::Add, ops::Dropout, ops::Embedding,
                 ops::Positions, ops::Attention, ops::SwiGlu>;

struct OpSpec {
  OpDescription description;
  std::string layer;            // the name that people know it by
  std::vector<int> inputs;      // values
  int output = -1;              // value
  std::vector<int> parameters;  // indices in the table
  std::vector<int> statistics;
  bool tied = false;  // parameters[0] belongs to an embedding, the others to the op
  int tie = -1;       // of the tied layer and its embedding: index in Lowered::ties
  std::uint32_t random = 0;  // the op field of its random numbers: the layer's place in the model
  bool needs_backward = false;  // a parameter, or an input that needs a gradient
  int block = 0;                // as LayerSpec::block
};

// The last layer where it is one with the loss.
struct HeadSpec {
  ops::LinearCrossEntropy description;
  std::string layer;
  std::vector<int> parameters;
  bool tied = false;
  int tie = -1;
};

// An embedding whose weight a later layer shares: that layer's gradient of the weight waits for the
// embedding's backward.
struct Tie {
  int embedding = -1, reader = -1;  // ops; reader == number of ops: the head
  int parameter = -1;
};

struct Lowered {
  std::vector<OpSpec> ops;
  std::optional<HeadSpec> head;
  int loss_input = -1;  // value: what the head or the loss reads
  std::vector<Tie> ties;
  ParameterTable table;
  std::vector<int> alias;            // value -> the value whose memory it shares (flatten)
  std::vector<bool> needs_gradient;  // per value
};

struct LowerOptions {
  std::int64_t microbatch = 1;
  ops::Precision precision = ops::Precision::kFp32;
  bool head = false;       // the last linear layer becomes one with the loss
  std::int64_t cache = 0;  // > 0: forward only, for generation
};

Lowered lower(const Graph& graph, const LowerOptions& options);
std::unique_ptr<ops::Op> make_op(Device& device, const OpDescription& description);

// The parameters and statistics that an op owns, [first, end) of the table; equal: none.
std::pair<int, int> table_run(const OpSpec& spec);
std::pair<int, int> table_run(const HeadSpec& head);

}  // namespace lockstep::nn
