// The inside of a Program: its ops, where everything lies on each stream, and how a pass runs.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "lockstep/nn/program.h"
#include "nn/captured_passes.h"
#include "nn/graph.h"
#include "nn/layout.h"
#include "nn/lower.h"
#include "nn/recompute.h"
#include "nn/schedule.h"
#include "nn/staging.h"
#include "nn/uses.h"

namespace lockstep::nn {

// An activation or a gradient: all of it, or the one slice of it that is there at a time.
struct Tensor {
  float* data = nullptr;
  std::int64_t elements = 0;
  bool one_slice = false;
  float* at(ops::Slice slice) const {
    const bool fixed = data == nullptr || one_slice;
    return fixed ? data : data + elements / slice.count * slice.index;
  }
};

// One op on one stream with all its addresses.
struct BoundOp {
  struct Side {
    std::vector<Tensor> inputs;
    Tensor output;
    std::vector<float*> lane_statistics;
    void *saved = nullptr, *workspace = nullptr;
  };
  Side sides[kDirections];  // kAgain and kBackward differ in the workspace only
  const Side& side(Direction d) const { return sides[static_cast<int>(d)]; }
  std::vector<Tensor> d_inputs, add_into;
  Tensor d_output;
  std::vector<const float*> parameters, statistics;
  std::vector<float*> d_parameters;
  const float* carried = nullptr;
  void* state = nullptr;
  std::vector<const float*> inputs_now;  // of the slice at work
  std::vector<float*> d_inputs_now;
};

struct BoundHead {
  std::vector<const float*> parameters;
  std::vector<float*> d_parameters;
};

struct StreamState {
  Buffer arena, workspace, state, labels, targets;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<Staging> staging;  // where the host does not share the memory; no labels, targets
  std::unique_ptr<CapturedPasses> captured;  // where the device captures
  std::unique_ptr<Event> has_read;           // with options.held: what a use holds
  std::vector<BoundOp> ops;
  BoundHead head;
  ops::LaneRecord record;  // of the pass at hand, where there is no staging
  std::byte* at(std::size_t offset) const { return arena.as<std::byte>() + offset; }
};

struct Program::Impl {
  Impl(Device& device, const std::vector<LayerSpec>& layers, const ProgramOptions& options);

  struct Pass {
    int stream = 0;
    ops::Mode mode = ops::Mode::kTrain;
    RandomKey random;
    std::int64_t position = 0;
    std::int64_t valid = 0;        // samples that count
    GradientSink* sink = nullptr;  // of training
    // Loss and metrics are added to *record at the end, to *lane on the device before that.
    ops::LaneRecord *record = nullptr, *lane = nullptr;
    std::int32_t microbatch() const {
      return sink == nullptr ? -1 : static_cast<std::int32_t>(random.lane_micro);
    }
  };

  void bind(const float* flat);  // null: addresses come with each use
  void bind(ParameterSource& source);
  BoundOp bind_op(const StreamState& s, int i, const float* flat) const;
  const float* address_of(int parameter, const float* flat) const;
  void bind_ties(StreamState& s) const;
  float* address(const StreamState& s, int slot) const;

  // Op i, or the head where i is the number of ops.
  void pack_op(std::size_t i) const;

  void train(const Program::Pass& pass);
  void train_together(std::span<const Program::Pass> passes);
  void evaluate(const Pass& pass);
  void infer(const Pass& pass);

  std::size_t head() const { return ops.size(); }

  Device& device;
  ProgramOptions options;
  Graph graph;
  Lowered lowered;
  std::vector<std::unique_ptr<ops::Op>> ops;
  std::unique_ptr<ops::LossHead> loss_head;  // or, where there is none,
  std::unique_ptr<ops::Loss> loss;
  Repeats repeats;
  Schedule schedule;
  Layout layout;
  Uses uses;
  std::vector<std::size_t> packed_offsets;  // of the ops, then of the head
  std::vector<std::size_t> state_offsets;
  std::vector<std::vector<std::size_t>> readers;  // parameter -> ops that read it
  Buffer packed;
  std::vector<StreamState> streams;
  std::unique_ptr<Event> updated;     // parameters and packed weights, on streams[0]
  ParameterSource* source = nullptr;  // with options.held

 private:
  void make_stream(StreamState& s, std::size_t state_bytes);
  Pass training(const Program::Pass& pass) const;
  // Before a pass's own work: inputs on their way, parameters as the last update left them.
  void begin(Pass& pass);
  void end(const Pass& pass);  // the record is on its way
  // Sweeps and the loss, by time (Schedule), each for all passes in turn.
  void run(std::span<const Pass> passes, int end_time);
  void run_at(int time, const Pass& pass);
  int evaluation_end() const { return schedule.loss_time() + 1; }
  int train_end() const { return evaluation_end() + static_cast<int>(schedule.backward.size()); }

  void hold(int use, std::span<const Pass> passes);
  void release(int use, std::span<const Pass> passes);
  void point(StreamState& s, const UseReader& reader, const float* const* at) const;
  void pack_for(const UseReader& reader, Stream& stream);

  // With a sink also the gradient of what the loss reads, and the head's.
  void run_loss(const Pass& pass);
  ops::Args args(const Pass& pass, Direction direction, int i, ops::Slice slice);
  void forward_sweep(const Pass& pass, const Sweep& sweep);
  void backward_sweep(const Pass& pass, const Sweep& sweep);
  void ask_addresses(int stream, int i, GradientSink& sink);
  void complete(int stream, int i, GradientSink& sink);
  void run_head(const Pass& pass);
  void add_contributions(const Pass& pass, int i, ops::Slice slice) const;
  const std::int32_t* device_labels(const StreamState& s) const;
  void* loss_workspace(const StreamState& s) const;

  std::vector<Pass> together;           // of train_together()
  std::vector<const float*> addresses;  // of the use at hand
};

}  // namespace lockstep::nn
