#include "lockstep/nn/program.h"

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/ops/vector.h"
#include "nn/graph.h"
#include "nn/layout.h"
#include "nn/lower.h"
#include "nn/schedule.h"

namespace lockstep::nn {
namespace {

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
  std::vector<Tensor> inputs, d_inputs, add_into;
  Tensor output, d_output;
  std::vector<const float*> parameters, statistics;
  std::vector<float*> d_parameters, lane_statistics;
  void *saved = nullptr, *forward_workspace = nullptr, *backward_workspace = nullptr;
  std::vector<const float*> inputs_now;  // of the slice at work
  std::vector<float*> d_inputs_now;
};

struct StreamState {
  Buffer arena, workspace, labels, targets;
  std::unique_ptr<Stream> stream;
  std::vector<BoundOp> ops;
  std::byte* at(std::size_t offset) const { return arena.as<std::byte>() + offset; }
};

}  // namespace

struct Program::Impl {
  Impl(Device& device, const std::vector<LayerSpec>& layers, const ProgramOptions& options)
      : options(options),
        graph(make_graph(layers, options.sample, options.outputs)),
        lowered(lower(graph, options.microbatch)) {
    std::size_t packed_bytes = 0;
    for (const OpSpec& spec : lowered.ops) {
      ops.push_back(make_op(device, spec.description));
      packed_offsets.push_back(packed_bytes);
      packed_bytes += (ops.back()->packed_bytes() + 4095) / 4096 * 4096;
    }
    schedule = make_schedule(lowered, ops);
    layout = make_layout(graph, lowered, ops, schedule, options.microbatch);
    packed = device.allocate(packed_bytes, "packed weights");
    streams.resize(options.streams);
    for (StreamState& s : streams) {
      s.arena = device.allocate(layout.placement.bytes, "activations");
      s.workspace = device.allocate(layout.workspace.bytes, "workspace of ops");
      s.labels = device.allocate(
          static_cast<std::size_t>(options.microbatch) * sizeof(std::int32_t), "labels");
      s.targets = device.allocate(
          static_cast<std::size_t>(options.microbatch * options.outputs) * sizeof(float),
          "targets");
      s.stream = device.make_stream();
    }
  }

  void bind(const float* flat) {
    for (StreamState& s : streams) {
      s.ops.clear();
      for (std::size_t i = 0; i < ops.size(); ++i)
        s.ops.push_back(bind_op(s, static_cast<int>(i), flat));
    }
  }

  BoundOp bind_op(const StreamState& s, int i, const float* flat) const {
    const OpSpec& spec = lowered.ops[i];
    const OpSlots& slots = layout.ops[i];
    const auto address = [&](int slot) {
      return slot < 0 ? nullptr : reinterpret_cast<float*>(s.at(layout.placement.offsets[slot]));
    };
    const auto tensor = [&](int slot, int value) {
      return Tensor{address(slot), options.microbatch * graph.values[value].sample.elements(),
                    slot >= 0 && layout.one_slice[slot]};
    };
    const auto workspace = [&](int slot) {
      return slot < 0 ? nullptr : s.workspace.as<std::byte>() + layout.workspace.offsets[slot];
    };
    BoundOp bound;
    for (std::size_t k = 0; k < spec.inputs.size(); ++k) {
      bound.inputs.push_back(tensor(slots.inputs[k], spec.inputs[k]));
      if (!spec.needs_backward) continue;
      bound.d_inputs.push_back(tensor(slots.d_inputs[k], spec.inputs[k]));
      bound.add_into.push_back(tensor(slots.add_into[k], spec.inputs[k]));
    }
    bound.output = tensor(slots.output, spec.output);
    bound.d_output = tensor(slots.d_output, spec.output);
    for (const int p : spec.parameters) bound.parameters.push_back(flat + lowered.table[p].offset);
    for (const int p : spec.statistics) bound.statistics.push_back(flat + lowered.table[p].offset);
    for (const int slot : slots.lane_statistics) bound.lane_statistics.push_back(address(slot));
    bound.d_parameters.resize(spec.parameters.size());
    bound.saved = address(slots.saved);
    bound.forward_workspace = workspace(slots.forward_workspace);
    bound.backward_workspace = workspace(slots.backward_workspace);
    bound.inputs_now.resize(bound.inputs.size());
    bound.d_inputs_now.resize(bound.d_inputs.size());
    return bound;
  }

  struct Pass {
    int stream;
    bool backward;
    ops::Mode mode;
    RandomKey random;
  };

  // Valid until the next call for the same op and stream.
  ops::Args args(const Pass& pass, int i, ops::Slice slice) {
    const StreamState& s = streams[pass.stream];
    BoundOp& b = streams[pass.stream].ops[i];
    for (std::size_t k = 0; k < b.inputs.size(); ++k) b.inputs_now[k] = b.inputs[k].at(slice);
    for (std::size_t k = 0; k < b.d_inputs.size(); ++k) b.d_inputs_now[k] = b.d_inputs[k].at(slice);
    RandomKey random = pass.random;
    random.op = lowered.ops[i].random;
    ops::Args a;
    a.inputs = b.inputs_now.data();
    a.output = b.output.at(slice);
    a.d_output = b.d_output.at(slice);
    a.d_inputs = b.d_inputs_now.data();
    a.parameters = b.parameters.data();
    a.d_parameters = b.d_parameters.data();
    a.statistics = b.statistics.data();
    a.lane_statistics = b.lane_statistics.data();
    a.saved = b.saved;
    a.workspace = pass.backward ? b.backward_workspace : b.forward_workspace;
    a.packed = packed.as<std::byte>() + packed_offsets[i];
    a.random = random;
    a.mode = pass.mode;
    a.stream = s.stream.get();
    return a;
  }

  ops::LossArgs loss_args(int stream, std::int64_t valid, ops::Mode mode) const {
    const StreamState& s = streams[stream];
    ops::LossArgs a;
    a.samples = options.microbatch;
    a.width = options.outputs;
    a.valid = valid;
    a.outputs = reinterpret_cast<const float*>(s.at(layout.placement.offsets[layout.output]));
    a.labels = s.labels.as<std::int32_t>();
    a.targets = s.targets.as<float>();
    if (mode == ops::Mode::kTrain)
      a.d_outputs = reinterpret_cast<float*>(s.at(layout.placement.offsets[layout.d_output]));
    return a;
  }

  void forward(int stream, ops::Mode mode, RandomKey random, std::int64_t valid,
               ops::LaneRecord& record) {
    for (const Sweep& sweep : schedule.forward)
      forward_sweep({stream, false, mode, random}, sweep);
    const ops::LossArgs loss = loss_args(stream, valid, mode);
    ops::LaneRecord one;
    ops::compute_loss(options.loss, loss, one);
    for (const ops::Metric& metric : options.metrics) ops::measure(metric, loss, one);
    record = ops::add(record, one);
  }

  void pack_op(std::size_t i) const {
    if (ops[i]->packed_bytes() > 0)
      ops[i]->pack(streams[0].ops[i].parameters.data(),
                   packed.as<std::byte>() + packed_offsets[i]);
  }

  // The op's parameters and statistics are one run of the table.
  static std::pair<int, int> table_run(const OpSpec& spec) {
    int first = 0, end = 0;
    if (!spec.parameters.empty()) {
      first = spec.parameters.front();
      end = (spec.statistics.empty() ? spec.parameters : spec.statistics).back() + 1;
    }
    return {first, end};
  }

  void forward_sweep(const Pass& pass, const Sweep& sweep) {
    for (const Stage& stage : sweep.stages) {
      if (stage.part == Part::kSlice) ops[stage.op]->forward_begin(args(pass, stage.op, {}));
    }
    for (ops::Slice slice{0, sweep.slices}; slice.index < slice.count; ++slice.index) {
      for (const auto [i, part] : sweep.stages) {
        const ops::Args a = args(pass, i, slice);
        if (part == Part::kWhole) ops[i]->forward(a);
        if (part == Part::kGather) ops[i]->forward_gather(a, slice);
        if (part == Part::kSlice) ops[i]->forward_slice(a, slice);
      }
    }
  }

  void backward_sweep(const Pass& pass, const Sweep& sweep, GradientSink& sink) {
    for (const auto [i, part] : sweep.stages) {
      if (part == Part::kSlice) ops[i]->backward_begin(args(pass, i, {}));
      if (part == Part::kWhole) ask_addresses(pass.stream, i, sink);
    }
    for (ops::Slice slice{0, sweep.slices}; slice.index < slice.count; ++slice.index) {
      for (const auto [i, part] : sweep.stages) {
        const ops::Args a = args(pass, i, slice);
        if (part == Part::kWhole) ops[i]->backward(a);
        if (part == Part::kGather) ops[i]->backward_gather(a, slice);
        if (part == Part::kSlice) ops[i]->backward_slice(a, slice);
        if (part != Part::kGather) add_contributions(streams[pass.stream].ops[i], slice);
      }
    }
    for (const auto [i, part] : sweep.stages) {
      if (part == Part::kGather) continue;
      if (part == Part::kSlice) {
        ask_addresses(pass.stream, i, sink);
        ops[i]->backward_finish(args(pass, i, {}));
      }
      complete(pass.stream, i, sink);
    }
  }

  // Another reader of the same value came first: its gradient is there.
  static void add_contributions(const BoundOp& b, ops::Slice slice) {
    for (std::size_t k = 0; k < b.add_into.size(); ++k) {
      float* const sum = b.add_into[k].at(slice);
      if (sum == nullptr) continue;
      ops::add(sum, sum, b.d_inputs[k].at(slice), b.add_into[k].elements / slice.count);
    }
  }

  // The sink hands out the addresses of one op at a time.
  void ask_addresses(int stream, int i, GradientSink& sink) {
    const OpSpec& spec = lowered.ops[i];
    for (std::size_t k = 0; k < spec.parameters.size(); ++k)
      streams[stream].ops[i].d_parameters[k] = sink.address(spec.parameters[k]);
  }

  void complete(int stream, int i, GradientSink& sink) {
    const OpSpec& spec = lowered.ops[i];
    const BoundOp& b = streams[stream].ops[i];
    for (std::size_t k = 0; k < spec.statistics.size(); ++k) {
      const int p = spec.statistics[k];
      std::memcpy(sink.address(p), b.lane_statistics[k],
                  static_cast<std::size_t>(lowered.table[p].elements) * sizeof(float));
    }
    const auto [first, end] = table_run(spec);
    if (end > first) sink.complete(first, end);
  }

  ProgramOptions options;
  Graph graph;
  Lowered lowered;
  std::vector<std::unique_ptr<ops::Op>> ops;
  Schedule schedule;
  Layout layout;
  std::vector<std::size_t> packed_offsets;
  Buffer packed;
  std::vector<StreamState> streams;
};

Recompute recompute_from(std::string_view name) {
  if (name == "none") return Recompute::kNone;
  if (name == "block") return Recompute::kBlock;
  throw UserError("'{}' is not a way to recompute activations; use none or block", name);
}
std::string_view name_of(Recompute recompute) {
  return recompute == Recompute::kBlock ? "block" : "none";
}

Program::Program(Device& device, const std::vector<LayerSpec>& layers,
                 const ProgramOptions& options)
    : impl_(std::make_unique<Impl>(device, layers, options)) {}
Program::~Program() = default;

const ParameterTable& Program::table() const { return impl_->lowered.table; }
std::vector<std::pair<int, int>> Program::runs() const {
  std::vector<std::pair<int, int>> runs;
  for (const OpSpec& spec : impl_->lowered.ops) {
    const auto run = Impl::table_run(spec);
    if (run.second > run.first) runs.push_back(run);
  }
  return runs;
}
const ProgramOptions& Program::options() const { return impl_->options; }
void Program::bind(const float* parameters) { impl_->bind(parameters); }

void Program::pack() {
  for (std::size_t i = 0; i < impl_->ops.size(); ++i) impl_->pack_op(i);
}

void Program::pack(int p) {
  for (std::size_t i = 0; i < impl_->ops.size(); ++i) {
    const auto& read = impl_->lowered.ops[i].parameters;
    if (std::find(read.begin(), read.end(), p) != read.end()) impl_->pack_op(i);
  }
}

float* Program::input(int stream) const {
  return reinterpret_cast<float*>(
      impl_->streams[stream].at(impl_->layout.placement.offsets[impl_->layout.data]));
}
std::int32_t* Program::labels(int stream) const {
  return impl_->streams[stream].labels.as<std::int32_t>();
}
float* Program::targets(int stream) const { return impl_->streams[stream].targets.as<float>(); }
const float* Program::output(int stream) const {
  return impl_->loss_args(stream, 0, ops::Mode::kEvaluate).outputs;
}

void Program::train(int stream, RandomKey random, GradientSink& sink, ops::LaneRecord& record) {
  impl_->forward(stream, ops::Mode::kTrain, random, impl_->options.microbatch, record);
  for (const Sweep& sweep : impl_->schedule.backward)
    impl_->backward_sweep({stream, true, ops::Mode::kTrain, random}, sweep, sink);
}

void Program::evaluate(int stream, std::int64_t valid, ops::LaneRecord& record) {
  impl_->forward(stream, ops::Mode::kEvaluate, {}, valid, record);
}

void Program::infer(int stream, std::int64_t /*position*/) {
  for (const Sweep& sweep : impl_->schedule.forward)
    impl_->forward_sweep({stream, false, ops::Mode::kEvaluate, {}}, sweep);
}

std::int64_t Program::largest_tensor() const {
  std::int64_t largest = 0;
  for (const Value& v : impl_->graph.values) largest = std::max(largest, v.sample.elements());
  return largest * impl_->options.microbatch;
}

double Program::flops() const {
  double total = 0;
  for (const auto& op : impl_->ops) total += op->cost().forward_flops + op->cost().backward_flops;
  return total;
}

std::vector<LedgerRow> Program::ledger() const {
  const auto streams = static_cast<std::size_t>(impl_->options.streams);
  const StreamState& s = impl_->streams[0];
  return {{"activations", impl_->layout.placement.bytes * streams,
           "one microbatch, forward and backward, shared by lifetime"},
          {"workspace", s.workspace.bytes() * streams, "scratch of the ops at work"},
          {"packed weights", impl_->packed.bytes(), "in the kernels' own layout"}};
}

std::vector<OpRow> Program::rows() const {
  std::vector<OpRow> rows;
  for (std::size_t i = 0; i < impl_->ops.size(); ++i) {
    const OpSpec& spec = impl_->lowered.ops[i];
    std::int64_t parameters = 0;
    for (const int p : spec.parameters) parameters += impl_->lowered.table[p].elements;
    const ops::Cost cost = impl_->ops[i]->cost();
    rows.push_back({spec.layer, std::string(impl_->ops[i]->kind()),
                    impl_->graph.values[spec.output].sample, parameters,
                    cost.forward_flops + cost.backward_flops});
  }
  return rows;
}

}  // namespace lockstep::nn
