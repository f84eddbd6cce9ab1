// One pass of a program over a microbatch: sweeps, the loss, and gradients that leave as soon as
// they are complete.
#include "lockstep/ops/flat_math.h"
#include "nn/program_impl.h"

namespace lockstep::nn {

// Other streams' work waits for what stream 0 has done to parameters and packed weights.
void Program::Impl::begin(const Pass& pass) {
  StreamState& s = streams[pass.stream];
  if (pass.stream > 0) updated->wait(*s.stream);
  if (s.staging) s.staging->send(pass.random);
}

void Program::Impl::train(const Pass& pass, GradientSink& to, ops::LaneRecord& record) {
  StreamState& s = streams[pass.stream];
  begin(pass);
  ops::LaneRecord one;
  ops::LaneRecord* const lane = s.staging ? s.staging->begin_record() : &one;
  const auto run = [&](GradientSink& sink) {
    forward(pass);
    run_loss(pass, options.microbatch, &sink, lane);
    backward(pass, sink);
  };
  if (s.captured) {
    s.captured->run(*s.stream, to, std::ref(run));
  } else {
    run(to);
  }
  if (s.staging) {
    s.staging->end_record(record);
  } else {
    record = ops::add(record, one);
  }
}

void Program::Impl::evaluate(const Pass& pass, std::int64_t valid, ops::LaneRecord& record) {
  StreamState& s = streams[pass.stream];
  begin(pass);
  ops::LaneRecord one;
  forward(pass);
  run_loss(pass, valid, nullptr, s.staging ? s.staging->begin_record() : &one);
  if (s.staging) {
    s.staging->end_record(record);
  } else {
    record = ops::add(record, one);
  }
}

void Program::Impl::infer(const Pass& pass) {
  begin(pass);
  forward(pass);
}

// Valid until the next call for the same op and stream.
ops::Args Program::Impl::args(const Pass& pass, Direction direction, int i, ops::Slice slice) {
  BoundOp& b = streams[pass.stream].ops[i];
  const BoundOp::Side& side = b.side(direction);
  for (std::size_t k = 0; k < side.inputs.size(); ++k) b.inputs_now[k] = side.inputs[k].at(slice);
  for (std::size_t k = 0; k < b.d_inputs.size(); ++k) b.d_inputs_now[k] = b.d_inputs[k].at(slice);
  ops::Args a;
  a.inputs = b.inputs_now.data();
  a.output = side.output.at(slice);
  a.d_output = b.d_output.at(slice);
  a.d_inputs = b.d_inputs_now.data();
  a.parameters = b.parameters.data();
  a.d_parameters = b.d_parameters.data();
  a.statistics = b.statistics.data();
  a.lane_statistics = side.lane_statistics.data();
  a.saved = side.saved;
  a.workspace = side.workspace;
  a.packed = packed.as<std::byte>() + packed_offsets[i];
  a.random = pass.random;
  a.random.op = lowered.ops[i].random;
  if (const auto& staging = streams[pass.stream].staging)
    a.device_random = staging->device_random();
  a.mode = pass.mode;
  a.accumulate = layout.ops[i].accumulate;
  a.carried = b.carried;
  a.position = pass.position;
  a.state = b.state;
  a.stream = streams[pass.stream].stream.get();
  return a;
}

void Program::Impl::forward(const Pass& pass) {
  for (const Sweep& sweep : schedule.forward) forward_sweep(pass, sweep);
}

void Program::Impl::backward(const Pass& pass, GradientSink& sink) {
  for (const Sweep& sweep : schedule.backward) {
    if (sweep.direction == Direction::kBackward) {
      backward_sweep(pass, sweep, sink);
    } else {
      forward_sweep(pass, sweep);
    }
  }
}

void Program::Impl::forward_sweep(const Pass& pass, const Sweep& sweep) {
  for (const auto [i, part] : sweep.stages) {
    if (part == Part::kSlice) ops[i]->forward_begin(args(pass, sweep.direction, i, {}));
  }
  for (ops::Slice slice{0, sweep.slices}; slice.index < slice.count; ++slice.index) {
    for (const auto [i, part] : sweep.stages) {
      const ops::Args a = args(pass, sweep.direction, i, slice);
      if (part == Part::kWhole) ops[i]->forward(a);
      if (part == Part::kGather) ops[i]->forward_gather(a, slice);
      if (part == Part::kSlice) ops[i]->forward_slice(a, slice);
    }
  }
}

// Another reader of the same value came first: its gradient is there.
void Program::Impl::add_contributions(const Pass& pass, int i, ops::Slice slice) const {
  const StreamState& s = streams[pass.stream];
  const BoundOp& b = s.ops[i];
  for (std::size_t k = 0; k < b.add_into.size(); ++k) {
    float* const sum = b.add_into[k].at(slice);
    if (sum == nullptr) continue;
    ops::add(device, sum, sum, b.d_inputs[k].at(slice), b.add_into[k].elements / slice.count,
             *s.stream);
  }
}

namespace {

// The gradient of a weight that belongs to an embedding stays in the arena.
void ask(GradientSink& sink, const std::vector<int>& parameters, bool tied,
         std::vector<float*>& addresses) {
  for (std::size_t k = tied ? 1 : 0; k < parameters.size(); ++k)
    addresses[k] = sink.address(parameters[k]);
}

}  // namespace

void Program::Impl::backward_sweep(const Pass& pass, const Sweep& sweep, GradientSink& sink) {
  constexpr auto kBackward = Direction::kBackward;
  for (const auto [i, part] : sweep.stages) {
    if (part == Part::kSlice) ops[i]->backward_begin(args(pass, kBackward, i, {}));
    if (part == Part::kWhole) ask_addresses(pass.stream, i, sink);
  }
  for (ops::Slice slice{0, sweep.slices}; slice.index < slice.count; ++slice.index) {
    for (const auto [i, part] : sweep.stages) {
      const ops::Args a = args(pass, kBackward, i, slice);
      if (part == Part::kWhole) ops[i]->backward(a);
      if (part == Part::kGather) ops[i]->backward_gather(a, slice);
      if (part == Part::kSlice) ops[i]->backward_slice(a, slice);
      if (part != Part::kGather) add_contributions(pass, i, slice);
    }
  }
  for (const auto [i, part] : sweep.stages) {
    if (part == Part::kGather) continue;
    if (part == Part::kSlice) {
      ask_addresses(pass.stream, i, sink);
      ops[i]->backward_finish(args(pass, kBackward, i, {}));
    }
    complete(pass.stream, i, sink);
  }
}

// The sink hands out the addresses of one op at a time.
void Program::Impl::ask_addresses(int stream, int i, GradientSink& sink) {
  const OpSpec& spec = lowered.ops[i];
  ask(sink, spec.parameters, spec.tied, streams[stream].ops[i].d_parameters);
}

void Program::Impl::complete(int stream, int i, GradientSink& sink) {
  const OpSpec& spec = lowered.ops[i];
  const StreamState& s = streams[stream];
  const BoundOp& b = s.ops[i];
  for (std::size_t k = 0; k < spec.statistics.size(); ++k) {
    const int p = spec.statistics[k];
    device.copy(sink.address(p), b.side(Direction::kBackward).lane_statistics[k],
                static_cast<std::size_t>(lowered.table[p].elements) * sizeof(float), *s.stream);
  }
  const auto [first, end] = table_run(spec);
  if (end == first) return;
  sink.written(first, end, *s.stream);
  sink.complete(first, end);
}

const std::int32_t* Program::Impl::device_labels(const StreamState& s) const {
  return s.staging ? s.staging->device_labels() : s.labels.as<const std::int32_t>();
}

void Program::Impl::run_loss(const Pass& pass, std::int64_t valid, GradientSink* sink,
                             ops::LaneRecord* record) {
  if (lowered.head) return run_head(pass, valid, sink, record);
  const StreamState& s = streams[pass.stream];
  ops::LossArgs a;
  a.samples = options.microbatch * options.labels;
  a.width = options.outputs;
  a.valid = valid * options.labels;
  a.outputs = address(s, layout.loss_input);
  a.labels = device_labels(s);
  a.targets = s.staging ? s.staging->device_targets() : s.targets.as<const float>();
  if (sink != nullptr) a.d_outputs = address(s, layout.d_loss_input);
  loss->run(a, record, loss_workspace(s), s.stream.get());
}

void* Program::Impl::loss_workspace(const StreamState& s) const {
  return s.workspace.as<std::byte>() + layout.workspace.offsets[layout.loss_workspace];
}

void Program::Impl::run_head(const Pass& pass, std::int64_t valid, GradientSink* sink,
                             ops::LaneRecord* record) {
  StreamState& s = streams[pass.stream];
  const HeadSpec& spec = *lowered.head;
  ops::HeadArgs a;
  a.x = address(s, layout.loss_input);
  a.labels = device_labels(s);
  a.valid = valid * options.labels;
  a.parameters = s.head.parameters.data();
  a.packed = packed.as<std::byte>() + packed_offsets[head()];
  a.workspace = loss_workspace(s);
  a.stream = s.stream.get();
  if (sink != nullptr) {
    ask(*sink, spec.parameters, spec.tied, s.head.d_parameters);
    a.d_x = address(s, layout.d_loss_input);
    a.d_parameters = s.head.d_parameters.data();
  }
  loss_head->run(a, options.metrics, record);
  const auto [first, end] = table_run(spec);
  if (sink == nullptr || end == first) return;
  sink->written(first, end, *s.stream);
  sink->complete(first, end);
}

}  // namespace lockstep::nn
