#include "lockstep/nn/program.h"

#include <algorithm>

#include "lockstep/core/error.h"
#include "nn/program_impl.h"

namespace lockstep::nn {

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
  const auto append = [&](const auto& spec) {
    const auto run = table_run(spec);
    if (run.second > run.first) runs.push_back(run);
  };
  for (const OpSpec& spec : impl_->lowered.ops) append(spec);
  if (impl_->lowered.head) append(*impl_->lowered.head);
  return runs;
}
const ProgramOptions& Program::options() const { return impl_->options; }
void Program::bind(const float* parameters) {
  LOCKSTEP_CHECK(!impl_->options.held, "a program that holds its parameters is bound to a source");
  impl_->bind(parameters);
}
const std::vector<ParameterUse>& Program::uses() const { return impl_->uses.list; }
int Program::evaluation_uses() const { return impl_->uses.evaluation; }
void Program::bind(ParameterSource& source) { impl_->bind(source); }

void Program::pack() {
  LOCKSTEP_CHECK(!impl_->options.held, "weights of a program that holds them are packed by it");
  for (std::size_t i = 0; i < impl_->packed_offsets.size(); ++i) impl_->pack_op(i);
  impl_->updated->record(stream(0));
}
void Program::pack(int p) {
  for (const std::size_t i : impl_->readers[p]) impl_->pack_op(i);
}

float* Program::input(int stream) const {
  if (Staging* const staging = impl_->streams[stream].staging.get()) return staging->input();
  return impl_->address(impl_->streams[stream], impl_->layout.data);
}
std::int32_t* Program::labels(int stream) const {
  if (Staging* const staging = impl_->streams[stream].staging.get()) return staging->labels();
  return impl_->streams[stream].labels.as<std::int32_t>();
}
float* Program::targets(int stream) const {
  if (Staging* const staging = impl_->streams[stream].staging.get()) return staging->targets();
  return impl_->streams[stream].targets.as<float>();
}
const float* Program::output(int stream) const {
  LOCKSTEP_CHECK(!impl_->lowered.head, "the logits of a fused head are never in memory");
  const StreamState& s = impl_->streams[stream];
  const float* const logits = impl_->address(s, impl_->layout.loss_input);
  return s.staging ? s.staging->fetch_output(logits) : logits;
}

void Program::wait(int stream) {
  if (Staging* const staging = impl_->streams[stream].staging.get()) staging->finish();
}
bool Program::done(int stream) const {
  const Staging* const staging = impl_->streams[stream].staging.get();
  return staging == nullptr || staging->done();
}
Stream& Program::stream(int stream) const { return *impl_->streams[stream].stream; }

void Program::train(int stream, RandomKey random, GradientSink& sink, ops::LaneRecord& record) {
  impl_->train({stream, random, &sink, &record});
}
void Program::train_together(std::span<const Pass> passes) { impl_->train_together(passes); }

void Program::evaluate(int stream, std::int64_t valid, ops::LaneRecord& record) {
  impl_->evaluate(
      {.stream = stream, .mode = ops::Mode::kEvaluate, .valid = valid, .record = &record});
}

void Program::infer(int stream, std::int64_t position) {
  const ProgramOptions& o = impl_->options;
  LOCKSTEP_CHECK(!o.held, "generation keeps its parameters");
  LOCKSTEP_CHECK(position >= 0 && position + o.sample[0] <= o.cache,
                 "tokens {} to {} of a cache of {}", position, position + o.sample[0], o.cache);
  impl_->infer({.stream = stream, .mode = ops::Mode::kEvaluate, .position = position});
}

void Program::continue_from(const Program& other) {
  const Buffer& from = other.impl_->streams[0].state;
  const Buffer& to = impl_->streams[0].state;
  LOCKSTEP_CHECK(from.bytes() == to.bytes() && impl_->options.cache == other.impl_->options.cache,
                 "caches of {} and {} bytes", from.bytes(), to.bytes());
  other.impl_->streams[0].stream->synchronize();
  impl_->device.copy(to.data(), from.data(), to.bytes(), stream(0));
}

std::int64_t Program::largest_tensor() const {
  std::int64_t largest = 0;
  for (const Value& v : impl_->graph.values) largest = std::max(largest, v.sample.elements());
  // Random numbers of attention are numbered as its probabilities, which are never in memory.
  for (const OpSpec& spec : impl_->lowered.ops) {
    const auto* attention = std::get_if<ops::Attention>(&spec.description);
    if (attention == nullptr || attention->dropout == 0) continue;
    largest = std::max(largest, attention->heads * attention->tokens * attention->tokens);
  }
  return largest * impl_->options.microbatch;
}

double Program::flops() const {
  double total = 0;
  for (const OpRow& row : rows()) total += row.flops;
  return total;
}

std::vector<LedgerRow> Program::ledger() const {
  const auto streams = static_cast<std::size_t>(impl_->options.streams);
  const StreamState& s = impl_->streams[0];
  const auto repeated = std::count(impl_->repeats.again.begin(), impl_->repeats.again.end(), true);
  std::string note = "one microbatch, forward and backward, shared by lifetime";
  if (repeated > 0) note += fmt::format("; {} ops run forward twice", repeated);
  std::vector<LedgerRow> rows{
      {"activations", s.arena.bytes() * streams, note},
      {"workspace", s.workspace.bytes() * streams, "scratch of the ops at work"},
      impl_->options.held
          ? LedgerRow{"gathered layers", impl_->packed.bytes(),
                      "packed weights of the layers in use"}
          : LedgerRow{"packed weights", impl_->packed.bytes(), "in the kernels' own layout"}};
  if (s.staging)
    rows.push_back({"pinned staging", s.staging->host_bytes() * streams,
                    "inputs, records and logits on their way", true});
  if (s.state.bytes() > 0)
    rows.push_back({"keys and values", s.state.bytes() * streams,
                    fmt::format("of up to {} tokens", impl_->options.cache)});
  return rows;
}

ProgramOptions token_options(std::int64_t tokens, std::int64_t outputs, std::int64_t microbatch) {
  ProgramOptions options;
  options.sample = Shape{tokens};
  options.microbatch = microbatch;
  options.outputs = outputs;
  options.tokens = true;
  options.labels = tokens;
  return options;
}

std::vector<std::string> Program::layers_left_in_fp32() const {
  std::vector<std::string> layers;
  for (const OpSpec& spec : impl_->lowered.ops) {
    const auto* c = std::get_if<ops::Convolution>(&spec.description);
    if (c != nullptr && c->precision == ops::Precision::kBf16 && !ops::bf16_pays(impl_->device, *c))
      layers.push_back(spec.layer);
  }
  return layers;
}

std::vector<OpRow> Program::rows() const {
  std::vector<OpRow> rows;
  const auto append = [&](const auto& spec, std::string kind, const Shape& output,
                          const ops::Cost& cost) {
    const auto [first, end] = table_run(spec);
    std::int64_t parameters = 0;
    for (int p = first; p < end; ++p) {
      const Parameter& parameter = impl_->lowered.table[p];
      if (parameter.kind != ParameterKind::kStatistic) parameters += parameter.elements;
    }
    rows.push_back({spec.layer, std::move(kind), output, parameters,
                    cost.forward_flops + cost.backward_flops});
  };
  const auto& values = impl_->graph.values;
  for (std::size_t i = 0; i < impl_->ops.size(); ++i) {
    const OpSpec& spec = impl_->lowered.ops[i];
    append(spec, std::string(impl_->ops[i]->kind()), values[spec.output].sample,
           impl_->ops[i]->cost());
  }
  if (impl_->lowered.head)
    append(*impl_->lowered.head, "linear_cross_entropy", values[impl_->graph.output].sample,
           impl_->loss_head->cost());
  return rows;
}

}  // namespace lockstep::nn
