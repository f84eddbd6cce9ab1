#include "nn/lower.h"

#include <cmath>
#include <optional>

#include "lockstep/core/error.h"

namespace lockstep::nn {
namespace {

std::optional<ops::Activation> activation_of(const std::string& kind) {
  for (const char* name : {"relu", "leaky_relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid"}) {
    if (kind == name) return ops::activation_from(kind);
  }
  return std::nullopt;
}

class Lowering {
 public:
  Lowering(const Graph& graph, std::int64_t microbatch)
      : graph_(graph), microbatch_(microbatch), absorbed_(graph.layers.size(), false) {
    out_.alias.resize(graph.values.size());
    for (std::size_t v = 0; v < out_.alias.size(); ++v) out_.alias[v] = static_cast<int>(v);
    out_.needs_gradient.assign(graph.values.size(), false);
  }

  Lowered run() {
    find_fusions();
    for (int i = 0; i < count(); ++i) {
      if (absorbed_[i]) continue;
      if (graph_.layers[i].spec.kind == "flatten") {
        alias_flatten(graph_.layers[i]);
      } else {
        emit(i);
      }
    }
    return std::move(out_);
  }

 private:
  int count() const { return static_cast<int>(graph_.layers.size()); }
  const std::string& kind(int layer) const { return graph_.layers[layer].spec.kind; }

  // The layer that makes value v, if v has no other reader and is not the model's output.
  int sole_producer(int value) const {
    const Value& v = graph_.values[value];
    return v.consumers.size() == 1 && value != graph_.output ? v.producer : -1;
  }

  // relu joins the linear, conv, batch_norm or add before it; add joins a batch_norm. The fused op
  // runs at the place of the last layer, where all its inputs are there.
  void find_fusions() {
    fused_into_.assign(count(), -1);
    for (int i = 0; i < count(); ++i) {
      if (kind(i) == "add") {
        for (const int input : graph_.layers[i].inputs) {
          const int p = sole_producer(input);
          if (p < 0 || kind(p) != "batch_norm") continue;
          absorb(p, i);
          break;
        }
      } else if (kind(i) == "relu") {
        const int p = sole_producer(graph_.layers[i].inputs[0]);
        if (p >= 0 && (kind(p) == "linear" || kind(p) == "conv" || kind(p) == "batch_norm" ||
                       kind(p) == "add"))
          absorb(p, i);
      }
    }
  }
  void absorb(int layer, int into) {
    absorbed_[layer] = true;
    fused_into_[into] = layer;
  }

  void alias_flatten(const GraphLayer& layer) {
    out_.alias[layer.output] = out_.alias[layer.inputs[0]];
    out_.needs_gradient[layer.output] = out_.needs_gradient[layer.inputs[0]];
  }

  std::int64_t elements(int value) const {
    return microbatch_ * graph_.values[value].sample.elements();
  }

  void emit(int last) {
    int head = last;
    auto activation = ops::Activation::kNone;
    if (kind(head) == "relu" && fused_into_[head] >= 0) {
      activation = ops::Activation::kRelu;
      head = fused_into_[head];
    }
    int residual = -1;
    if (kind(head) == "add" && fused_into_[head] >= 0) {
      const int norm = fused_into_[head];
      const auto& inputs = graph_.layers[head].inputs;
      residual = graph_.layers[norm].output == inputs[0] ? inputs[1] : inputs[0];
      head = norm;
    }
    const GraphLayer& layer = graph_.layers[head];
    OpSpec op;
    op.layer = layer.spec.name;
    op.random = static_cast<std::uint32_t>(head);
    op.inputs = layer.inputs;
    if (residual >= 0) op.inputs.push_back(residual);
    op.output = graph_.layers[last].output;
    bool any = false;
    for (const int input : op.inputs) any = any || out_.needs_gradient[input];
    describe(layer, activation, residual >= 0, any, op);
    op.needs_backward = any || !op.parameters.empty();
    out_.needs_gradient[op.output] = op.needs_backward;
    out_.ops.push_back(std::move(op));
  }

  void describe(const GraphLayer& layer, ops::Activation activation, bool residual,
                bool need_d_input, OpSpec& op) {
    const LayerSpec& spec = layer.spec;
    const Shape& in = graph_.values[layer.inputs[0]].sample;
    const std::int64_t rows = microbatch_ * (in.elements() / in[-1]);
    if (spec.kind == "linear") {
      add_weights(spec, Shape{spec.out, in[0]}, in[0], op);
      op.description =
          ops::Linear{microbatch_, in[0], spec.out, spec.bias, activation, need_d_input};
    } else if (spec.kind == "conv") {
      Shape weight = Shape(std::span<const std::int64_t>(spec.kernel))
                         .prepend(in[-1] / spec.groups)
                         .prepend(spec.out);
      add_weights(spec, weight, weight.elements() / spec.out, op);
      op.description = ops::Convolution{in.prepend(microbatch_),
                                        spec.out,
                                        spec.kernel,
                                        spec.stride,
                                        spec.padding,
                                        std::vector<std::int64_t>(spec.kernel.size(), 1),
                                        spec.groups,
                                        spec.bias,
                                        activation,
                                        need_d_input};
    } else if (spec.kind.find("pool") != std::string::npos) {
      const bool max = spec.kind == "max_pool" || spec.kind == "global_max_pool";
      op.description = ops::Pool{max ? ops::PoolKind::kMax : ops::PoolKind::kAverage,
                                 in.prepend(microbatch_), spec.kernel, spec.stride, spec.padding};
    } else if (spec.kind == "batch_norm") {
      add_gain(spec, in[-1], true, op);
      add_statistics(spec, in[-1], op);
      if (rows < 2)
        throw UserError(
            "layer '{}': batch norm needs at least 2 values per channel in a lane's microbatch; "
            "use a larger batch or fewer lanes",
            spec.name);
      op.description = ops::BatchNorm{rows, in[-1], epsilon(spec, 1e-5), activation, residual};
    } else if (spec.kind == "layer_norm") {
      add_gain(spec, in[-1], true, op);
      op.description = ops::LayerNorm{rows, in[-1], epsilon(spec, 1e-5)};
    } else if (spec.kind == "rms_norm") {
      add_gain(spec, in[-1], false, op);
      op.description = ops::RmsNorm{rows, in[-1], epsilon(spec, 1e-6)};
    } else if (spec.kind == "add") {
      op.description = ops::Add{elements(op.output), activation};
    } else if (spec.kind == "dropout") {
      op.description = ops::Dropout{elements(op.output), static_cast<float>(spec.rate)};
    } else {
      const auto kind = activation_of(spec.kind);
      LOCKSTEP_CHECK(kind.has_value(), "layer kind {} has no op", spec.kind);
      op.description = ops::Activate{elements(op.output), *kind, static_cast<float>(spec.slope)};
    }
  }

  static float epsilon(const LayerSpec& spec, double fallback) {
    return static_cast<float>(spec.epsilon > 0 ? spec.epsilon : fallback);
  }

  // Weights: linear layers uniform in +-1/sqrt(fan_in), convolutions normal with deviation
  // sqrt(2/fan_in) (He et al. 2015, eq. 10); biases start at zero.
  void add_weights(const LayerSpec& spec, const Shape& weight, std::int64_t fan_in, OpSpec& op) {
    const bool conv = spec.kind == "conv";
    const double scale = std::sqrt((conv ? 2.0 : 1.0) / static_cast<double>(fan_in));
    op.parameters.push_back(out_.table.add(spec.name + ".weight", weight, ParameterKind::kWeight,
                                           conv ? Init::kNormal : Init::kUniform, scale));
    if (spec.bias)
      op.parameters.push_back(out_.table.add(spec.name + ".bias", Shape{weight[0]},
                                             ParameterKind::kNoDecay, Init::kZeros));
  }
  void add_gain(const LayerSpec& spec, std::int64_t channels, bool bias, OpSpec& op) {
    op.parameters.push_back(out_.table.add(spec.name + ".weight", Shape{channels},
                                           ParameterKind::kNoDecay, Init::kOnes));
    if (bias)
      op.parameters.push_back(out_.table.add(spec.name + ".bias", Shape{channels},
                                             ParameterKind::kNoDecay, Init::kZeros));
  }
  void add_statistics(const LayerSpec& spec, std::int64_t channels, OpSpec& op) {
    op.statistics = {out_.table.add(spec.name + ".running_mean", Shape{channels},
                                    ParameterKind::kStatistic, Init::kZeros),
                     out_.table.add(spec.name + ".running_var", Shape{channels},
                                    ParameterKind::kStatistic, Init::kOnes)};
  }

  const Graph& graph_;
  const std::int64_t microbatch_;
  std::vector<bool> absorbed_;
  std::vector<int> fused_into_;  // layer -> the earlier layer that it completes
  Lowered out_;
};

}  // namespace

Lowered lower(const Graph& graph, std::int64_t microbatch) {
  return Lowering(graph, microbatch).run();
}

std::unique_ptr<ops::Op> make_op(Device& device, const OpDescription& description) {
  return std::visit([&](const auto& d) { return ops::make(device, d); }, description);
}

}  // namespace lockstep::nn
