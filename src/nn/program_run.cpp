// One pass of a program over a microbatch: sweeps, the loss, and gradients that leave as soon as
// they are complete.
#include <functional>
#include <optional>

#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "lockstep/ops/flat_math.h"
#include "nn/program_impl.h"

namespace lockstep::nn {

// Other streams' work waits for what stream 0 has done to parameters and packed weights.
void Program::Impl::begin(Pass& pass) {
  StreamState& s = streams[pass.stream];
  if (pass.stream > 0 && !options.held) updated->wait(*s.stream);
  if (s.staging) s.staging->send(pass.random);
  if (pass.record == nullptr) return;
  s.record = {};
  pass.lane = s.staging ? s.staging->begin_record() : &s.record;
}

void Program::Impl::end(const Pass& pass) {
  StreamState& s = streams[pass.stream];
  if (s.staging) {
    s.staging->end_record(*pass.record);
  } else {
    *pass.record = ops::add(*pass.record, s.record);
  }
}

Program::Impl::Pass Program::Impl::training(const Program::Pass& p) const {
  return {.stream = p.stream,
          .random = p.random,
          .valid = options.microbatch,
          .sink = p.sink,
          .record = p.record};
}

void Program::Impl::train(const Program::Pass& given) {
  StreamState& s = streams[given.stream];
  Pass pass = training(given);
  begin(pass);
  if (s.captured) {
    const auto captured = [&](GradientSink& sink) {
      Pass to = pass;
      to.sink = &sink;
      run({&to, 1}, train_end());
    };
    const events::Detail span(events::Kind::kBackward, "launch of a captured pass");
    s.captured->run(*s.stream, *pass.sink, std::ref(captured));
  } else {
    run({&pass, 1}, train_end());
  }
  end(pass);
}

void Program::Impl::train_together(std::span<const Program::Pass> passes) {
  if (!options.held) {
    for (const Program::Pass& pass : passes) train(pass);
    return;
  }
  together.clear();
  for (const Program::Pass& p : passes) {
    for (const Pass& other : together)
      LOCKSTEP_CHECK(other.stream != p.stream, "two passes of stream {} at a time", p.stream);
    begin(together.emplace_back(training(p)));
  }
  run(together, train_end());
  for (const Pass& pass : together) end(pass);
}

void Program::Impl::evaluate(const Pass& given) {
  Pass pass = given;
  begin(pass);
  run({&pass, 1}, evaluation_end());
  end(pass);
}

void Program::Impl::infer(const Pass& given) {
  Pass pass = given;
  begin(pass);
  run({&pass, 1}, schedule.loss_time());
}

void Program::Impl::run(std::span<const Pass> passes, int end_time) {
  if (options.held) {
    LOCKSTEP_CHECK(source != nullptr, "parameters are held, and come from nowhere");
    source->begin_pass(end_time == train_end() ? static_cast<int>(uses.list.size())
                                               : uses.evaluation);
  }
  events::Span span(events::Kind::kForward, "forward");
  for (int time = 0; time < end_time; ++time) {
    if (time == schedule.loss_time()) span.next(events::Kind::kBackward, "loss and backward");
    const int use = options.held ? uses.at[time] : -1;
    if (use >= 0) hold(use, passes);
    for (const Pass& pass : passes) run_at(time, pass);
    if (use >= 0) release(use, passes);
  }
}

void Program::Impl::run_at(int time, const Pass& pass) {
  const int loss = schedule.loss_time();
  if (time == loss) return run_loss(pass);
  const Sweep& sweep = time < loss ? schedule.forward[time] : schedule.backward[time - loss - 1];
  if (sweep.direction == Direction::kBackward) {
    backward_sweep(pass, sweep);
  } else {
    forward_sweep(pass, sweep);
  }
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

namespace {

// A part of an op at work, for a timeline of all ops. microbatch: of the step; -1: of an
// evaluation.
class OpSpan {
 public:
  OpSpan(const char* what, int op, std::int32_t microbatch, ops::Slice slice) {
    if (!events::detailed()) [[likely]]
      return;
    span_.emplace(events::Kind::kOp, what,
                  events::op_about(op, microbatch, static_cast<std::uint32_t>(slice.index),
                                   static_cast<std::uint32_t>(slice.count)));
  }

 private:
  std::optional<events::Span> span_;
};

constexpr const char* kTexts[kDirections] = {"forward", "forward again", "backward"};

}  // namespace

void Program::Impl::forward_sweep(const Pass& pass, const Sweep& sweep) {
  const char* const text = kTexts[static_cast<int>(sweep.direction)];
  for (const auto [i, part] : sweep.stages) {
    if (part == Part::kSlice) ops[i]->forward_begin(args(pass, sweep.direction, i, {}));
  }
  for (ops::Slice slice{0, sweep.slices}; slice.index < slice.count; ++slice.index) {
    for (const auto [i, part] : sweep.stages) {
      const OpSpan span(part == Part::kGather ? "forward gather" : text, i, pass.microbatch(),
                        slice);
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

void Program::Impl::backward_sweep(const Pass& pass, const Sweep& sweep) {
  constexpr auto kBackward = Direction::kBackward;
  GradientSink& sink = *pass.sink;
  for (const auto [i, part] : sweep.stages) {
    if (part == Part::kSlice) ops[i]->backward_begin(args(pass, kBackward, i, {}));
    if (part == Part::kWhole) ask_addresses(pass.stream, i, sink);
  }
  for (ops::Slice slice{0, sweep.slices}; slice.index < slice.count; ++slice.index) {
    for (const auto [i, part] : sweep.stages) {
      const OpSpan span(part == Part::kGather ? "backward gather" : "backward", i,
                        pass.microbatch(), slice);
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
      const OpSpan span("backward finish", i, pass.microbatch(), {});
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

void Program::Impl::run_loss(const Pass& pass) {
  if (lowered.head) return run_head(pass);
  const StreamState& s = streams[pass.stream];
  ops::LossArgs a;
  a.samples = options.microbatch * options.labels;
  a.width = options.outputs;
  a.valid = pass.valid * options.labels;
  a.outputs = address(s, layout.loss_input);
  a.labels = device_labels(s);
  a.targets = s.staging ? s.staging->device_targets() : s.targets.as<const float>();
  if (pass.sink != nullptr) a.d_outputs = address(s, layout.d_loss_input);
  const OpSpan span("loss", static_cast<int>(head()), pass.microbatch(), {});
  loss->run(a, pass.lane, loss_workspace(s), s.stream.get());
}

void* Program::Impl::loss_workspace(const StreamState& s) const {
  return s.workspace.as<std::byte>() + layout.workspace.offsets[layout.loss_workspace];
}

void Program::Impl::run_head(const Pass& pass) {
  StreamState& s = streams[pass.stream];
  const HeadSpec& spec = *lowered.head;
  ops::HeadArgs a;
  a.x = address(s, layout.loss_input);
  a.labels = device_labels(s);
  a.valid = pass.valid * options.labels;
  a.parameters = s.head.parameters.data();
  a.packed = packed.as<std::byte>() + packed_offsets[head()];
  a.workspace = loss_workspace(s);
  a.stream = s.stream.get();
  if (pass.sink != nullptr) {
    ask(*pass.sink, spec.parameters, spec.tied, s.head.d_parameters);
    a.d_x = address(s, layout.d_loss_input);
    a.d_parameters = s.head.d_parameters.data();
  }
  {
    const OpSpan span("loss", static_cast<int>(head()), pass.microbatch(), {});
    loss_head->run(a, options.metrics, pass.lane);
  }
  const auto [first, end] = table_run(spec);
  if (pass.sink == nullptr || end == first) return;
  pass.sink->written(first, end, *s.stream);
  pass.sink->complete(first, end);
}

}  // namespace lockstep::nn
