// Compiling a program, and the addresses of its ops on every stream.
#include "lockstep/core/error.h"
#include "nn/program_impl.h"

namespace lockstep::nn {
namespace {

// Whole pages for each op, so that no two packed weights share one.
std::size_t reserve(std::size_t& end, std::size_t bytes) {
  const std::size_t begin = end;
  end += (bytes + 4095) / 4096 * 4096;
  return begin;
}

bool with_head(const ProgramOptions& o) {
  return o.labels > 1 && o.cache == 0 && o.loss == ops::LossKind::kSoftmaxCrossEntropy;
}

void check_options(const ProgramOptions& o) {
  if (o.labels > 1 && o.loss != ops::LossKind::kSoftmaxCrossEntropy)
    throw UserError("one label for each token needs the loss softmax_cross_entropy, not {}",
                    ops::name_of(o.loss));
  if (o.cache > 0 && (o.sample.rank() != 1 || o.sample[0] > o.cache))
    throw UserError("generation keeps {} tokens, which is less than the {} of one call", o.cache,
                    o.sample.text());
}

const ProgramOptions& checked(const ProgramOptions& options) {
  check_options(options);
  return options;
}

}  // namespace

Program::Impl::Impl(Device& on, const std::vector<LayerSpec>& layers, const ProgramOptions& given)
    : device(on),
      options(checked(given)),
      graph(make_graph(layers,
                       {given.sample, given.outputs, given.tokens, given.labels, given.cache})),
      lowered(lower(graph, {given.microbatch, given.precision, with_head(given), given.cache})),
      readers(lowered.table.size()) {
  std::size_t packed_bytes = 0, state_bytes = 0, loss_workspace = 0;
  for (const OpSpec& spec : lowered.ops) {
    if (!spec.parameters.empty()) readers[spec.parameters.front()].push_back(ops.size());
    ops.push_back(make_op(device, spec.description));
    packed_offsets.push_back(reserve(packed_bytes, ops.back()->packed_bytes()));
    state_offsets.push_back(reserve(state_bytes, ops.back()->state_bytes()));
  }
  if (lowered.head) {
    readers[lowered.head->parameters.front()].push_back(head());
    loss_head = ops::make_loss_head(device, lowered.head->description);
    packed_offsets.push_back(reserve(packed_bytes, loss_head->packed_bytes()));
    loss_workspace = loss_head->workspace_bytes();
  } else {
    loss = ops::make(device, ops::LossForm{options.loss, options.microbatch * options.labels,
                                           options.outputs, options.metrics});
    loss_workspace = loss->workspace_bytes();
  }
  repeats = find_repeats(lowered, ops, options.recompute);
  schedule = make_schedule(lowered, ops, repeats.again);
  layout = make_layout({graph, lowered, ops, repeats, schedule, options.microbatch, loss_workspace,
                        options.cache == 0});
  uses = find_uses(lowered, ops, loss_head.get(), schedule);
  packed = device.allocate(options.held ? uses.packed_bytes : packed_bytes, "packed weights");
  streams.resize(options.streams);
  for (StreamState& s : streams) make_stream(s, state_bytes);
  updated = device.make_event();
  together.reserve(streams.size());
}

void Program::Impl::make_stream(StreamState& s, std::size_t state_bytes) {
  const auto bytes = [this](std::int64_t elements) {
    return static_cast<std::size_t>(options.microbatch * elements) * sizeof(float);
  };
  s.arena = device.allocate(layout.placement.bytes, "activations");
  s.workspace = device.allocate(layout.workspace.bytes, "workspace of ops");
  s.state = device.allocate(state_bytes, "keys and values");
  s.stream = device.make_stream();
  if (options.held) s.has_read = device.make_event();
  if (device.is_host()) {
    s.labels = device.allocate(bytes(options.labels), "labels");
    s.targets = device.allocate(bytes(options.outputs), "targets");
    return;
  }
  StagedSizes sizes{bytes(options.sample.elements()), bytes(options.labels),
                    bytes(options.outputs)};
  if (!lowered.head) sizes.output = bytes(graph.values[graph.output].sample.elements());
  sizes.classes = options.loss == ops::LossKind::kSoftmaxCrossEntropy;
  s.staging = std::make_unique<Staging>(device, *s.stream, address(s, layout.data), sizes);
  // A graph would hold the addresses of its capture for good.
  if (device.captures() && options.captured && !options.held)
    s.captured = std::make_unique<CapturedPasses>(lowered.table.size());
}

float* Program::Impl::address(const StreamState& s, int slot) const {
  return slot < 0 ? nullptr : reinterpret_cast<float*>(s.at(layout.placement.offsets[slot]));
}

const float* Program::Impl::address_of(int p, const float* flat) const {
  return flat == nullptr ? nullptr : flat + lowered.table[p].offset;
}

void Program::Impl::bind(const float* flat) {
  for (StreamState& s : streams) {
    s.ops.clear();
    for (std::size_t i = 0; i < ops.size(); ++i)
      s.ops.push_back(bind_op(s, static_cast<int>(i), flat));
    s.head = {};
    if (lowered.head) {
      for (const int p : lowered.head->parameters) s.head.parameters.push_back(address_of(p, flat));
      s.head.d_parameters.resize(lowered.head->parameters.size());
    }
    bind_ties(s);
  }
}

BoundOp Program::Impl::bind_op(const StreamState& s, int i, const float* flat) const {
  const OpSpec& spec = lowered.ops[i];
  const OpSlots& slots = layout.ops[i];
  const auto tensor = [&](int slot, int value) {
    return Tensor{address(s, slot), options.microbatch * graph.values[value].sample.elements(),
                  slot >= 0 && layout.one_slice[slot]};
  };
  const auto side = [&](const OpSlots::Side& from, Direction direction) {
    BoundOp::Side to;
    for (std::size_t k = 0; k < spec.inputs.size(); ++k)
      to.inputs.push_back(tensor(from.inputs[k], spec.inputs[k]));
    to.output = tensor(from.output, spec.output);
    for (const int slot : from.lane_statistics) to.lane_statistics.push_back(address(s, slot));
    to.saved = address(s, from.saved);
    const int workspace = slots.workspace[static_cast<int>(direction)];
    if (workspace >= 0)
      to.workspace = s.workspace.as<std::byte>() + layout.workspace.offsets[workspace];
    return to;
  };
  BoundOp bound{{side(slots.forward, Direction::kForward), side(slots.backward, Direction::kAgain),
                 side(slots.backward, Direction::kBackward)}};
  for (std::size_t k = 0; k < slots.d_inputs.size(); ++k) {
    bound.d_inputs.push_back(tensor(slots.d_inputs[k], spec.inputs[k]));
    bound.add_into.push_back(tensor(slots.add_into[k], spec.inputs[k]));
  }
  bound.d_output = tensor(slots.d_output, spec.output);
  for (const int p : spec.parameters) bound.parameters.push_back(address_of(p, flat));
  for (const int p : spec.statistics) bound.statistics.push_back(address_of(p, flat));
  bound.d_parameters.resize(spec.parameters.size());
  bound.state = s.state.as<std::byte>() + state_offsets[i];
  bound.inputs_now.resize(spec.inputs.size());
  bound.d_inputs_now.resize(bound.d_inputs.size());
  return bound;
}

void Program::Impl::bind_ties(StreamState& s) const {
  for (std::size_t t = 0; t < layout.ties.size(); ++t) {
    const Tie& tie = lowered.ties[t];
    float* const gradient = address(s, layout.ties[t]);
    const bool head = tie.reader == static_cast<int>(this->head());
    (head ? s.head.d_parameters : s.ops[tie.reader].d_parameters)[0] = gradient;
    s.ops[tie.embedding].carried = gradient;
  }
}

// Packed weights are written on stream 0; the others wait for it before their next pass.
void Program::Impl::pack_op(std::size_t i) const {
  std::byte* const to = packed.as<std::byte>() + packed_offsets[i];
  if (i == head()) {
    loss_head->pack(streams[0].head.parameters.data(), to, streams[0].stream.get());
  } else if (ops[i]->packed_bytes() > 0) {
    ops[i]->pack(streams[0].ops[i].parameters.data(), to, streams[0].stream.get());
  }
}

}  // namespace lockstep::nn
