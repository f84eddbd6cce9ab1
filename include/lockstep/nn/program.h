// A model compiled for one microbatch: the list of ops, forward and backward, with static shapes
// and memory planned by lifetime before step 0. Nothing is allocated in a step. Knows nothing of
// ranks or of how lanes are summed: where a parameter's gradient goes is asked of a GradientSink.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/core/parameter_table.h"
#include "lockstep/core/philox.h"
#include "lockstep/core/shape.h"
#include "lockstep/device/device.h"
#include "lockstep/nn/model.h"
#include "lockstep/ops/loss.h"
#include "lockstep/ops/op.h"

namespace lockstep::nn {

// Takes the gradients of one microbatch, parameter by parameter from the table's end to its start.
class GradientSink {
 public:
  virtual ~GradientSink() = default;
  virtual float* address(int parameter) = 0;      // where to write it: [elements]
  virtual void complete(int first, int end) = 0;  // parameters [first, end) are written
};

struct ProgramOptions {
  Shape sample;  // of the input field
  std::int64_t microbatch = 1;
  std::int64_t outputs = 1;  // width of the last layer
  ops::LossKind loss = ops::LossKind::kSoftmaxCrossEntropy;
  std::vector<ops::Metric> metrics;
  int streams = 1;  // microbatches that run at once
};

// A row of the memory ledger.
struct LedgerRow {
  std::string name;
  std::size_t bytes = 0;
  std::string note;
};

// A row of the table of ops, for `train --check`.
struct OpRow {
  std::string layer, kind;
  Shape output;
  std::int64_t parameters = 0;
  double flops = 0;  // forward + backward of one microbatch
};

class Program {
 public:
  // Throws UserError naming the layer that does not fit.
  Program(Device& device, const std::vector<LayerSpec>& layers, const ProgramOptions& options);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const ParameterTable& table() const;
  // The parameters of each op as [first, end) of the table, in table order: they complete together.
  std::vector<std::pair<int, int>> runs() const;
  const ProgramOptions& options() const;
  // Where the flat buffer of parameters lies: once, before the first pack().
  void bind(const float* parameters);
  // Rewrites the ops' packed weights: after every update, before the next forward.
  void pack();

  // Inputs of a stream, to be filled before forward(): [microbatch, sample...], and one of labels
  // [microbatch] and targets [microbatch, outputs].
  float* input(int stream) const;
  std::int32_t* labels(int stream) const;
  float* targets(int stream) const;
  const float* output(int stream) const;

  // Forward, loss and metrics of one microbatch; adds them to record. random.op is set per op.
  void forward(int stream, ops::Mode mode, RandomKey random, std::int64_t valid,
               ops::LaneRecord& record);
  // Backward of the forward just run on this stream, in training mode.
  void backward(int stream, RandomKey random, GradientSink& sink);

  std::int64_t largest_tensor() const;  // elements of the largest activation
  double flops() const;  // forward + backward of one microbatch
  std::vector<LedgerRow> ledger() const;
  std::vector<OpRow> rows() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep::nn
