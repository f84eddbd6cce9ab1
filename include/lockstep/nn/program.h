// A model compiled for one microbatch: the list of ops, forward and backward, with static shapes
// and memory planned by lifetime before step 0. Nothing is allocated in a step. Knows nothing of
// ranks or of how lanes are summed: where a parameter's gradient goes is asked of a GradientSink.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
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
  virtual float* address(int parameter) = 0;  // where to write it: [elements]
  // The work that writes parameters [first, end) has been given to `stream` by now. Where that
  // captures, this is called for the capture alone, and what the sink gives to the stream runs each
  // time that the graph does.
  virtual void written(int /*first*/, int /*end*/, Stream& /*stream*/) {}
  // The same, once for each microbatch; where the stream runs at once they are written.
  virtual void complete(int first, int end) = 0;
};

// Where the parameters of a pass are, if not all lie in the flat buffer all the time. A pass goes
// through the uses that Program::uses() lists, in order.
class ParameterSource {
 public:
  virtual ~ParameterSource() = default;
  virtual void begin_pass(int uses) = 0;  // the first `uses` of them
  // addresses[i] becomes that of uses()[use].parameters[i], on the program's device. They are there
  // for work that is given to `stream` from now on.
  virtual void hold(int use, const float** addresses, Stream& stream) = 0;
  // No work given to `stream` from now on reads them; what was given before may still.
  virtual void release(int use, Stream& stream) = 0;
};

// What a stretch of a pass reads: parameters in table order.
struct ParameterUse {
  std::vector<int> parameters;
};

// Which activations of a block (LayerSpec::block) are kept from forward to backward: all of them,
// or its input alone (Chen et al. 2016). The bits are the same.
enum class Recompute : std::uint8_t { kNone, kBlock };
Recompute recompute_from(std::string_view name);  // "none", "block"; throws UserError
std::string_view name_of(Recompute recompute);

struct ProgramOptions {
  Shape sample;  // of the input field; [T] for tokens
  std::int64_t microbatch = 1;
  std::int64_t outputs = 1;  // width of the last layer
  ops::LossKind loss = ops::LossKind::kSoftmaxCrossEntropy;
  std::vector<ops::Metric> metrics;
  int streams = 1;  // microbatches that run at once
  // Input samples are token numbers: int32 where others have floats.
  bool tokens = false;
  std::int64_t labels = 1;  // per sample: 1, or one for each token
  ops::Precision precision = ops::Precision::kFp32;
  Recompute recompute = Recompute::kNone;
  // Parameters are held for a use at a time: packed weights are made for each use anew, in place of
  // a copy of all that lasts a step. bind() takes a ParameterSource, and neither pack() nor infer()
  // is called. One thread at a time runs passes, of however many streams.
  bool held = false;
  // Where the device captures: a training pass is captured once. Its gradients then go to the same
  // addresses each time, or to one of a few sets.
  bool captured = true;
  // > 0: for generation. infer() alone may be called; attention keeps keys and values of up to this
  // many tokens, and output() holds the logits of all tokens of the sample.
  std::int64_t cache = 0;
};

// Of sequences of `tokens` token numbers, each with a label in [0, outputs).
ProgramOptions token_options(std::int64_t tokens, std::int64_t outputs,
                             std::int64_t microbatch = 1);

// A row of the memory ledger.
struct LedgerRow {
  std::string name;
  std::size_t bytes = 0;
  std::string note;
  bool on_host = false;  // whatever the device
};

// A row of the table of ops, for `train --check`.
struct OpRow {
  std::string layer, kind;
  Shape output;
  std::int64_t parameters = 0;
  double flops = 0;  // forward + backward of one microbatch
};

// What an op costs as it was compiled, for one microbatch: what a plan computes with. What was fused
// into an op (an activation, dropout, a sum) follows it in a row of its own.
struct OpCost {
  // kind: as the op's own; "linear_input", "convolution_input" where the input needs no gradient.
  std::string layer, kind;
  // The kernel's own, of one microbatch:
  //   linear            rows, in, out
  //   convolution       positions of all samples, of a row, channels in (of a group) and out, taps
  //   attention         tokens, width of a head
  //   linear_cross_entropy  rows, in, classes
  //   embedding         elements of the output, of the table
  //   max_pool, ...     elements read in a slice, channels, taps
  //   batch_norm        elements, channels
  //   layer_norm, ...   elements of a slice, channels
  //   softmax_cross_entropy, mse, ...  rows, width
  //   all others        elements of a slice
  // A slice is what the op works on at a time (ops::Op::slices): what is in cache.
  std::vector<double> size;
  ops::Cost cost;           // bytes of a fused op: what it would move alone
  double packed_bytes = 0;  // written after each update, in the kernel's own layout
  int first = 0, end = 0;   // its parameters, [first, end) of the table; equal: none
  bool fused = false;
  bool again = false;  // its forward is run once more in backward (ProgramOptions::recompute)
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
  // With options.held: the uses of a training pass, each of which reads a parameter; those of an
  // evaluation are its first evaluation_uses().
  const std::vector<ParameterUse>& uses() const;
  int evaluation_uses() const;
  // The source outlives the program. It is called by the thread that runs the pass, for stream(0).
  void bind(ParameterSource& source);
  // Rewrites the ops' packed weights, before the first forward.
  void pack();
  // The same for the ops that read parameter p, which an update has just written (still in cache).
  void pack(int p);

  // Inputs of a stream in the host's memory, to be filled before train() and evaluate():
  // [microbatch, sample...], and one of labels [microbatch, labels] and targets [microbatch,
  // outputs]. The calls wait until the device has taken what was filled in before.
  float* input(int stream) const;  // int32 token numbers with options.tokens
  std::int32_t* labels(int stream) const;
  float* targets(int stream) const;
  // Logits of the last infer() or evaluate(), in the host's memory. Waits for them.
  const float* output(int stream) const;

  // train() and evaluate() may return before the device is done. `record` must live, and is not
  // complete, until wait().
  void wait(int stream);
  // Whether wait() would return at once.
  bool done(int stream) const;
  // What the work of a stream is given to: a strategy's work may be put in order with it.
  Stream& stream(int stream) const;

  // Forward, loss, metrics and backward of one microbatch of valid samples only. Adds loss and
  // metrics to record. random.op is set per op.
  void train(int stream, RandomKey random, GradientSink& sink, ops::LaneRecord& record);
  // The same of several streams by one thread; the bits of each are those of train(). With
  // options.held use by use in turn: what is held is held once for all of them.
  struct Pass {
    int stream = 0;
    RandomKey random;
    GradientSink* sink = nullptr;
    ops::LaneRecord* record = nullptr;
  };
  void train_together(std::span<const Pass> passes);
  // Forward, loss and metrics in evaluation mode; samples from `valid` on are padding.
  void evaluate(int stream, std::int64_t valid, ops::LaneRecord& record);
  // With options.cache: forward of tokens [position, position + T) of a sequence whose earlier
  // tokens went through before.
  void infer(int stream, std::int64_t position);
  // With options.cache: takes over the keys and values, on stream 0, of a program of the same
  // model, cache and precision, which may read another number of tokens at once.
  void continue_from(const Program& other);

  std::int64_t largest_tensor() const;  // elements of the largest activation
  double flops() const;                 // forward + backward of one microbatch
  // With Precision::kBf16: the layers whose convolutions stay in fp32, where bf16 would be slower.
  std::vector<std::string> layers_left_in_fp32() const;
  std::vector<LedgerRow> ledger() const;
  std::vector<OpRow> rows() const;
  // In the order of forward; the loss, where it is no part of the last layer, is the last row.
  std::vector<OpCost> op_costs() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep::nn
