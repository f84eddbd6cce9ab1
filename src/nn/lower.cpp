#include "nn/lower.h"

#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"
#include "nn/fusion.h"

namespace lockstep::nn {
namespace {

class Lowering {
 public:
  Lowering(const Graph& graph, const LowerOptions& options)
      : graph_(graph), options_(options), microbatch_(options.microbatch) {
    for (std::size_t v = 0; v < graph.values.size(); ++v)
      out_.alias.push_back(static_cast<int>(v));
    out_.needs_gradient.assign(graph.values.size(), false);
  }

  Lowered run() {
    out_.loss_input = graph_.output;
    for (const Chain& chain : find_chains(graph_)) {
      const GraphLayer& layer = graph_.layers[chain.first];
      if (layer.spec.kind == "flatten") {
        out_.alias[layer.output] = out_.alias[layer.inputs[0]];
        out_.needs_gradient[layer.output] = out_.needs_gradient[layer.inputs[0]];
      } else if (options_.head && layer.spec.kind == "linear" && layer.output == graph_.output) {
        emit_head(layer);
      } else {
        emit(chain);
      }
    }
    return std::move(out_);
  }

 private:
  const Shape& sample(int value) const { return graph_.values[value].sample; }
  std::int64_t elements(int value) const { return microbatch_ * sample(value).elements(); }
  std::int64_t rows(int value) const { return elements(value) / sample(value)[-1]; }
  bool trains() const { return options_.cache == 0; }

  void emit(const Chain& chain) {
    const GraphLayer& layer = graph_.layers[chain.first];
    OpSpec op;
    op.layer = layer.spec.name;
    op.block = layer.spec.block;
    op.random = static_cast<std::uint32_t>(chain.dropout >= 0 ? chain.dropout : chain.first);
    op.inputs = layer.inputs;
    op.output = graph_.layers[chain.last()].output;
    if (chain.add >= 0) {
      // What joined the addition is the one input, the residual is the other.
      const auto& added = graph_.layers[chain.add].inputs;
      const Chain before{chain.first, chain.activation > chain.add ? -1 : chain.activation,
                         chain.dropout, -1};
      op.inputs.push_back(graph_.layers[before.last()].output == added[0] ? added[1] : added[0]);
    }
    add_parameters(layer, op);
    bool any = !op.parameters.empty();
    for (const int input : op.inputs) any = any || out_.needs_gradient[input];
    op.needs_backward = any && trains();
    out_.needs_gradient[op.output] = op.needs_backward;
    op.description = describe(chain, layer);
    out_.ops.push_back(std::move(op));
  }

  void emit_head(const GraphLayer& layer) {
    const LayerSpec& spec = layer.spec;
    const int input = layer.inputs[0];
    OpSpec op;
    add_parameters(layer, op);
    out_.loss_input = input;
    out_.head = HeadSpec{
        {rows(input), sample(input)[-1], spec.out, spec.bias, options_.precision},
        spec.name, std::move(op.parameters), op.tied, op.tie};
  }

  OpDescription describe(const Chain& chain, const GraphLayer& layer) const {
    const LayerSpec& spec = layer.spec;
    const std::string& kind = spec.kind;
    const int input = layer.inputs[0];
    const Shape& in = sample(input);
    const std::int64_t rows = this->rows(input), out = elements(layer.output);
    const bool need_d_input = trains() && out_.needs_gradient[input];
    const auto activation =
        chain.activation < 0 ? ops::Activation::kNone
                             : ops::activation_from(graph_.layers[chain.activation].spec.kind);
    if (kind == "linear") {
      ops::Linear d{rows, in[-1], spec.out, spec.bias, activation, need_d_input};
      d.residual = chain.add >= 0;
      if (chain.dropout >= 0)
        d.dropout = static_cast<float>(graph_.layers[chain.dropout].spec.rate);
      d.samples = microbatch_;
      d.precision = options_.precision;
      return d;
    }
    if (kind == "conv")
      return ops::Convolution{in.prepend(microbatch_),
                              spec.out,
                              spec.kernel,
                              spec.stride,
                              spec.padding,
                              std::vector<std::int64_t>(spec.kernel.size(), 1),
                              spec.groups,
                              spec.bias,
                              activation,
                              need_d_input,
                              options_.precision};
    if (chain.pool >= 0) {
      const LayerSpec& pool = graph_.layers[chain.pool].spec;
      return ops::Pool{ops::PoolKind::kMax, in.prepend(microbatch_), pool.kernel, pool.stride,
                       pool.padding, ops::activation_from(kind), static_cast<float>(spec.slope)};
    }
    if (kind.find("pool") != std::string::npos) {
      const bool max = kind == "max_pool" || kind == "global_max_pool";
      return ops::Pool{max ? ops::PoolKind::kMax : ops::PoolKind::kAverage,
                       in.prepend(microbatch_), spec.kernel, spec.stride, spec.padding};
    }
    if (kind == "batch_norm") {
      if (rows < 2)
        throw UserError(
            "layer '{}': batch norm needs at least 2 values per channel in a lane's microbatch; "
            "use a larger batch or fewer lanes",
            spec.name);
      return ops::BatchNorm{rows, in[-1], epsilon(spec, 1e-5), activation, chain.add >= 0};
    }
    if (kind == "layer_norm")
      return ops::LayerNorm{rows, in[-1], epsilon(spec, 1e-5), microbatch_};
    if (kind == "rms_norm") return ops::RmsNorm{rows, in[-1], epsilon(spec, 1e-6), microbatch_};
    if (kind == "embedding")
      return ops::Embedding{elements(input), spec.vocabulary, spec.out, microbatch_};
    if (kind == "positions") return ops::Positions{microbatch_, in[0], in[1], spec.context};
    if (kind == "attention") {
      ops::Attention d{microbatch_, in[0], spec.heads, spec.kv_heads, 0};
      d.width = in[1] / (spec.heads + 2 * spec.kv_heads);
      d.causal = spec.causal;
      d.rotary = spec.rotary;
      d.dropout = static_cast<float>(spec.rate);
      d.cache = options_.cache;
      d.precision = options_.precision;
      return d;
    }
    if (kind == "swiglu") return ops::SwiGlu{rows, in[-1] / 2, microbatch_};
    if (kind == "add") return ops::Add{out, activation};
    if (kind == "dropout") return ops::Dropout{out, static_cast<float>(spec.rate)};
    return ops::Activate{out, ops::activation_from(kind), static_cast<float>(spec.slope)};
  }

  static float epsilon(const LayerSpec& spec, double fallback) {
    return static_cast<float>(spec.epsilon > 0 ? spec.epsilon : fallback);
  }

  void add_parameters(const GraphLayer& layer, OpSpec& op) {
    const LayerSpec& spec = layer.spec;
    const Shape& in = sample(layer.inputs[0]);
    const std::string& kind = spec.kind;
    if (kind == "linear" && layer.tied >= 0) {
      add_tied(layer, op);
    } else if (kind == "linear") {
      // Uniform in +-1/sqrt(fan_in), as the field does for plain networks.
      const double bound = 1 / std::sqrt(static_cast<double>(in[-1]));
      add_weight(spec, {spec.out, in[-1]}, Init::kUniform, bound, op);
    } else if (kind == "conv") {
      Shape weight = Shape(std::span<const std::int64_t>(spec.kernel))
                         .prepend(in[-1] / spec.groups)
                         .prepend(spec.out);
      const auto fan_in = static_cast<double>(weight.elements() / spec.out);
      // He et al. 2015, eq. 10.
      add_weight(spec, weight, Init::kNormal, std::sqrt(2 / fan_in), op);
    } else if (kind == "embedding") {
      add_weight(spec, {spec.vocabulary, spec.out}, Init::kNormal, kTableDeviation, op);
    } else if (kind == "positions") {
      add_weight(spec, {spec.context, in[-1]}, Init::kNormal, kTableDeviation, op);
    } else if (kind == "batch_norm" || kind == "layer_norm" || kind == "rms_norm") {
      add(spec.name + ".weight", {in[-1]}, ParameterKind::kNoDecay, Init::kOnes, 0, op.parameters);
    }
    if ((kind == "linear" || kind == "conv") && spec.bias)
      add(spec.name + ".bias", {spec.out}, ParameterKind::kNoDecay, Init::kZeros, 0, op.parameters);
    if (kind == "batch_norm" || kind == "layer_norm")
      add(spec.name + ".bias", {in[-1]}, ParameterKind::kNoDecay, Init::kZeros, 0, op.parameters);
    if (kind == "batch_norm") {
      add(spec.name + ".running_mean", {in[-1]}, ParameterKind::kStatistic, Init::kZeros, 0,
          op.statistics);
      add(spec.name + ".running_var", {in[-1]}, ParameterKind::kStatistic, Init::kOnes, 0,
          op.statistics);
    }
  }

  void add_tied(const GraphLayer& layer, OpSpec& op) {
    const std::string& embedding = graph_.layers[layer.tied].spec.name;
    Tie tie;
    for (std::size_t i = 0; i < out_.ops.size(); ++i) {
      if (out_.ops[i].layer == embedding) tie.embedding = static_cast<int>(i);
    }
    tie.parameter = out_.ops[tie.embedding].parameters[0];
    tie.reader = static_cast<int>(out_.ops.size());
    op.parameters.push_back(tie.parameter);
    op.tied = true;
    op.tie = out_.ops[tie.embedding].tie = static_cast<int>(out_.ties.size());
    out_.ties.push_back(tie);
  }

  void add_weight(const LayerSpec& spec, const Shape& shape, Init init, double scale, OpSpec& op) {
    if (spec.deviation > 0) {
      init = Init::kNormal;
      scale = spec.deviation;
    }
    add(spec.name + ".weight", shape, ParameterKind::kWeight, init, scale, op.parameters);
  }
  void add(std::string name, const Shape& shape, ParameterKind kind, Init init, double scale,
           std::vector<int>& list) {
    list.push_back(out_.table.add(std::move(name), shape, kind, init, scale));
  }

  static constexpr double kTableDeviation = 0.02;  // Radford et al. 2019

  const Graph& graph_;
  const LowerOptions& options_;
  const std::int64_t microbatch_;
  Lowered out_;
};

std::pair<int, int> run_of(const std::vector<int>& parameters, bool tied,
                           const std::vector<int>& statistics) {
  const std::size_t owned = tied ? 1 : 0;
  if (parameters.size() <= owned) return {0, 0};
  return {parameters[owned], (statistics.empty() ? parameters : statistics).back() + 1};
}

}  // namespace

Lowered lower(const Graph& graph, const LowerOptions& options) {
  return Lowering(graph, options).run();
}

std::unique_ptr<ops::Op> make_op(Device& device, const OpDescription& description) {
  return std::visit([&](const auto& d) { return ops::make(device, d); }, description);
}

std::pair<int, int> table_run(const OpSpec& spec) {
  return run_of(spec.parameters, spec.tied, spec.statistics);
}
std::pair<int, int> table_run(const HeadSpec& head) {
  return run_of(head.parameters, head.tied, {});
}

}  // namespace lockstep::nn
