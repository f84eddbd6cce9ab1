// The plain reading of the op contract: every op whole, one after the other, each tensor in memory
// of its own that begins as NaN.
#pragma once
#include "nn/graph.h"
#include "nn/lower.h"
#include "run_program.h"

namespace lockstep::nn {

inline GraphOptions graph_options(const ProgramOptions& o) {
  return {o.sample, o.outputs, o.tokens, o.labels, o.cache};
}

class OneByOne {
 public:
  explicit OneByOne(const Case& c)
      : options_(c.options),
        graph_(make_graph(c.layers, graph_options(c.options))),
        lowered_(lower(graph_, {c.options.microbatch, c.options.precision, c.options.labels > 1})),
        flat_(static_cast<std::size_t>(lowered_.table.flat_elements())),
        labels_(static_cast<std::size_t>(c.options.microbatch * c.options.labels)),
        targets_(static_cast<std::size_t>(c.options.microbatch * c.options.outputs)) {
    lowered_.table.initialise(3, flat_.data());
    for (std::size_t v = 0; v < graph_.values.size(); ++v)
      values_.emplace_back(elements(static_cast<int>(v)), NAN), gradients_.emplace_back();
    carried_.resize(lowered_.ties.size());
    for (std::size_t t = 0; t < carried_.size(); ++t)
      carried_[t].assign(lowered_.table[lowered_.ties[t].parameter].elements, NAN);
    fill(c, values_[0].data(), labels_.data(), targets_.data());
  }

  Outcome run() {
    for (const OpSpec& spec : lowered_.ops) forward(spec);
    const int v = lowered_.alias[lowered_.loss_input];
    gradients_[v].assign(values_[v].size(), NAN);
    ops::LaneRecord record;
    lowered_.head ? run_head(v, record) : run_loss(v, record);
    for (std::size_t i = lowered_.ops.size(); i-- > 0;) backward(lowered_.ops[i], bound_[i]);
    outcome_.loss = record.sums[0];
    return outcome_;
  }

 private:
  struct Bound {
    std::unique_ptr<ops::Op> op;
    Floats saved, packed;
    std::vector<const float*> inputs, parameters;
    std::vector<float*> lane_statistics;
  };
  std::size_t elements(int value) const {
    return static_cast<std::size_t>(options_.microbatch * graph_.values[value].sample.elements());
  }
  static void* aligned(Floats& memory) {
    return reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(memory.data()) + 63) / 64 *
                                   64);
  }
  static Floats scratch(std::size_t bytes) { return Floats(bytes / 4 + 17, NAN); }
  float* result(int parameter) {
    const Parameter& p = lowered_.table[parameter];
    Floats& g = outcome_.gradients[p.name];
    if (g.empty()) g.assign(static_cast<std::size_t>(p.elements), NAN);
    return g.data();
  }
  std::vector<const float*> addresses(const std::vector<int>& parameters) const {
    std::vector<const float*> addresses;
    for (const int p : parameters) addresses.push_back(flat_.data() + lowered_.table[p].offset);
    return addresses;
  }
  std::vector<float*> results(const std::vector<int>& parameters, bool tied, int tie) {
    std::vector<float*> results;
    for (std::size_t k = 0; k < parameters.size(); ++k)
      results.push_back(tied && k == 0 ? carried_[tie].data() : result(parameters[k]));
    return results;
  }

  void forward(const OpSpec& spec) {
    Bound b{make_op(cpu_device(), spec.description), {}, {}, {}, {}, {}};
    b.saved = scratch(b.op->saved_bytes());
    b.packed = scratch(b.op->packed_bytes());
    for (const int v : spec.inputs) b.inputs.push_back(values_[lowered_.alias[v]].data());
    b.parameters = addresses(spec.parameters);
    for (const int p : spec.statistics) b.lane_statistics.push_back(result(p));
    b.op->pack(b.parameters.data(), aligned(b.packed), nullptr);
    ops::Args args = common(b, spec);
    Floats workspace = scratch(b.op->workspace_bytes());
    args.workspace = aligned(workspace);
    b.op->forward(args);
    bound_.push_back(std::move(b));
  }

  ops::Args common(Bound& b, const OpSpec& spec) {
    ops::Args args;
    args.inputs = b.inputs.data(), args.output = values_[spec.output].data();
    args.parameters = b.parameters.data(), args.lane_statistics = b.lane_statistics.data();
    args.saved = aligned(b.saved), args.packed = aligned(b.packed);
    args.random = {1, 2, 3, spec.random};
    return args;
  }

  void run_loss(int value, ops::LaneRecord& record) {
    ops::LossArgs loss;
    loss.samples = loss.valid = options_.microbatch, loss.width = options_.outputs;
    loss.outputs = values_[value].data(), loss.d_outputs = gradients_[value].data();
    loss.labels = labels_.data(), loss.targets = targets_.data();
    ops::compute_loss(options_.loss, loss, record);
  }

  void run_head(int value, ops::LaneRecord& record) {
    const HeadSpec& spec = *lowered_.head;
    const auto head = ops::make_loss_head(cpu_device(), spec.description);
    const auto parameters = addresses(spec.parameters);
    const auto d_parameters = results(spec.parameters, spec.tied, spec.tie);
    Floats packed = scratch(head->packed_bytes()), workspace = scratch(head->workspace_bytes());
    head->pack(parameters.data(), aligned(packed), nullptr);
    ops::HeadArgs args;
    args.x = values_[value].data(), args.d_x = gradients_[value].data();
    args.labels = labels_.data(), args.valid = spec.description.rows;
    args.parameters = parameters.data(), args.d_parameters = d_parameters.data();
    args.packed = aligned(packed), args.workspace = aligned(workspace);
    head->run(args, {}, &record);
  }

  void backward(const OpSpec& spec, Bound& b) {
    ops::Args args = common(b, spec);
    Floats workspace = scratch(b.op->workspace_bytes());
    args.workspace = aligned(workspace);
    args.d_output = gradients_[spec.output].data();
    std::vector<Floats> written(spec.inputs.size());
    std::vector<float*> d_inputs(spec.inputs.size(), nullptr);
    for (std::size_t k = 0; k < spec.inputs.size(); ++k) {
      const int v = lowered_.alias[spec.inputs[k]];
      if (!lowered_.needs_gradient[v]) continue;
      args.accumulate |= k == 0 && b.op->accumulates() && !gradients_[v].empty();
      if (k == 0 && args.accumulate) {
        d_inputs[k] = gradients_[v].data();
        continue;
      }
      written[k].assign(elements(spec.inputs[k]), NAN);
      d_inputs[k] = written[k].data();
    }
    const auto d_parameters = results(spec.parameters, spec.tied, spec.tie);
    args.d_inputs = d_inputs.data(), args.d_parameters = d_parameters.data();
    if (spec.tie >= 0 && !spec.tied) args.carried = carried_[spec.tie].data();
    b.op->backward(args);
    for (std::size_t k = 0; k < spec.inputs.size(); ++k) {
      Floats& sum = gradients_[lowered_.alias[spec.inputs[k]]];
      if (sum.empty()) {
        sum = written[k];
      } else {
        for (std::size_t i = 0; i < written[k].size(); ++i) sum[i] += written[k][i];
      }
    }
  }

  const ProgramOptions options_;
  Graph graph_;
  Lowered lowered_;
  Floats flat_;
  std::vector<std::int32_t> labels_;
  Floats targets_;
  std::vector<Floats> values_, gradients_, carried_;
  std::vector<Bound> bound_;
  Outcome outcome_;
};

}  // namespace lockstep::nn
