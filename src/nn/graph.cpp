#include "nn/graph.h"

#include <algorithm>
#include <map>

#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"

namespace lockstep::nn {
namespace {

using Extents = std::vector<std::int64_t>;

bool is_pool(const std::string& kind) { return kind == "max_pool" || kind == "average_pool"; }

// One number stands for all spatial dimensions; none stands for `fallback`.
Extents expand(const Extents& given, int dimensions, std::int64_t fallback, const LayerSpec& spec,
               const char* what) {
  if (given.empty()) return Extents(dimensions, fallback);
  if (given.size() == 1) return Extents(dimensions, given[0]);
  if (static_cast<int>(given.size()) != dimensions)
    throw UserError(
        "layer '{}': {} has {} numbers for {} spatial dimensions; give one, or one each", spec.name,
        what, given.size(), dimensions);
  return given;
}

// The sample's shape as [spatial..., C] for a convolution or pool; a sample without a channel
// dimension (its rank is the kernel's) gets one channel.
Shape with_channels(const LayerSpec& spec, const Shape& in) {
  const bool bare = spec.kernel.size() > 1 && static_cast<int>(spec.kernel.size()) == in.rank();
  const Shape shape = bare ? in.append(1) : in;
  if (shape.rank() < 2 || shape.rank() > 4)
    throw UserError(
        "layer '{}' ({}) needs samples of [1 to 3 spatial dimensions, channels], not {}", spec.name,
        spec.kind, in.text());
  return shape;
}

Shape infer_window_layer(LayerSpec& spec, Shape& in) {
  in = with_channels(spec, in);
  const int dimensions = in.rank() - 1;
  if (spec.kernel.empty())
    throw UserError("layer '{}' ({}) needs kernel = [...]", spec.name, spec.kind);
  spec.kernel = expand(spec.kernel, dimensions, 1, spec, "kernel");
  spec.padding = expand(spec.padding, dimensions, 0, spec, "padding");
  if (is_pool(spec.kind)) {
    if (spec.stride.empty()) spec.stride = spec.kernel;
    spec.stride = expand(spec.stride, dimensions, 1, spec, "stride");
    const auto kind = spec.kind == "max_pool" ? ops::PoolKind::kMax : ops::PoolKind::kAverage;
    return output_shape(ops::Pool{kind, in.prepend(1), spec.kernel, spec.stride, spec.padding})
        .drop_first();
  }
  spec.stride = expand(spec.stride, dimensions, 1, spec, "stride");
  if (spec.out < 1) throw UserError("layer '{}' (conv) needs out = number of channels", spec.name);
  if (spec.groups < 1 || in[-1] % spec.groups != 0 || spec.out % spec.groups != 0)
    throw UserError("layer '{}': groups = {} must divide its {} input and {} output channels",
                    spec.name, spec.groups, in[-1], spec.out);
  ops::Convolution c{in.prepend(1),          spec.out,   spec.kernel, spec.stride, spec.padding,
                     Extents(dimensions, 1), spec.groups};
  return output_shape(c).drop_first();
}

Shape infer(LayerSpec& spec, std::vector<Shape>& in, std::int64_t outputs) {
  const std::string& kind = spec.kind;
  if (kind == "conv" || is_pool(kind)) return infer_window_layer(spec, in[0]);
  if (kind == "linear") {
    if (in[0].rank() != 1)
      throw UserError(
          "layer '{}' (linear) needs samples of one dimension, not {}; put a flatten before it",
          spec.name, in[0].text());
    if (spec.out == 0) spec.out = outputs;
    return Shape{spec.out};
  }
  if (kind == "flatten") return Shape{in[0].elements()};
  if (kind == "global_average_pool" || kind == "global_max_pool") {
    if (in[0].rank() < 2)
      throw UserError("layer '{}' ({}) needs samples of [spatial..., channels], not {}", spec.name,
                      kind, in[0].text());
    spec.kernel.assign(in[0].begin(), in[0].end() - 1);
    spec.stride = spec.kernel;
    spec.padding.assign(spec.kernel.size(), 0);
    return Shape{in[0][-1]};
  }
  if (kind == "add" && !(in[0] == in[1]))
    throw UserError("layer '{}' adds {} ('{}') to {} ('{}'); the shapes must be the same",
                    spec.name, in[0].text(), spec.inputs[0], in[1].text(), spec.inputs[1]);
  if (kind == "dropout" && !(spec.rate >= 0 && spec.rate < 1))
    throw UserError("layer '{}': rate = {} is not in [0, 1)", spec.name, spec.rate);
  return in[0];
}

// The ops' own refusals do not know the layer's name.
Shape infer_or_name(LayerSpec& spec, std::vector<Shape>& in, std::int64_t outputs) {
  try {
    return infer(spec, in, outputs);
  } catch (const UserError& e) {
    const std::string sentence = e.what();
    if (sentence.starts_with("layer '")) throw;
    throw UserError("layer '{}': {}", spec.name, sentence);
  }
}

void name_layers(std::vector<LayerSpec>& layers) {
  std::map<std::string, int> count;
  for (LayerSpec& spec : layers) {
    const auto& kinds = layer_kinds();
    if (std::find(kinds.begin(), kinds.end(), spec.kind) == kinds.end())
      throw UserError("unknown layer kind '{}'; known kinds: {}", spec.kind,
                      fmt::join(kinds, ", "));
    const int number = ++count[spec.kind];
    if (spec.name.empty()) spec.name = fmt::format("{}{}", spec.kind, number);
  }
}

void check_all_used(const Graph& graph) {
  for (const GraphLayer& layer : graph.layers) {
    if (layer.output != graph.output && graph.values[layer.output].consumers.empty())
      throw UserError(
          "layer '{}' is used by nobody; remove it or name it in another layer's inputs",
          layer.spec.name);
  }
}

}  // namespace

Graph make_graph(const std::vector<LayerSpec>& specs, const Shape& sample, std::int64_t outputs) {
  if (specs.empty()) throw UserError("the model has no layers");
  std::vector<LayerSpec> layers = specs;
  name_layers(layers);
  Graph graph;
  graph.values.push_back({sample, -1, {}});
  std::map<std::string, int> value_of{{"input", 0}};
  int previous = 0;
  std::string previous_name = "input";
  for (LayerSpec& spec : layers) {
    const std::size_t arity = spec.kind == "add" ? 2 : 1;
    if (spec.inputs.empty() && arity == 1) spec.inputs = {previous_name};
    if (spec.inputs.size() != arity)
      throw UserError("layer '{}' ({}) needs inputs = [{} name{}]", spec.name, spec.kind, arity,
                      arity == 1 ? "" : "s");
    const int index = static_cast<int>(graph.layers.size());
    GraphLayer layer;
    std::vector<Shape> shapes;
    for (const std::string& input : spec.inputs) {
      const auto found = value_of.find(input);
      if (found == value_of.end())
        throw UserError("layer '{}': its input '{}' is no earlier layer", spec.name, input);
      layer.inputs.push_back(found->second);
      graph.values[found->second].consumers.push_back(index);
      shapes.push_back(graph.values[found->second].sample);
    }
    const Shape out = infer_or_name(spec, shapes, outputs);
    // A bare image that a convolution reads gets its channel dimension for everyone.
    if (spec.kind == "conv" || is_pool(spec.kind)) graph.values[layer.inputs[0]].sample = shapes[0];
    layer.output = static_cast<int>(graph.values.size());
    graph.values.push_back({out, index, {}});
    if (!value_of.emplace(spec.name, layer.output).second)
      throw UserError("two layers are named '{}'; names must differ", spec.name);
    layer.spec = spec;
    graph.layers.push_back(std::move(layer));
    previous = graph.layers.back().output;
    previous_name = spec.name;
  }
  graph.output = previous;
  check_all_used(graph);
  const Shape& last = graph.values[graph.output].sample;
  if (last.rank() != 1 || last[0] != outputs)
    throw UserError("the last layer '{}' gives {} per sample, but the loss needs {} output{}",
                    previous_name, last.text(), outputs, outputs == 1 ? "" : "s");
  return graph;
}

const std::vector<std::string>& layer_kinds() {
  static const std::vector<std::string> kinds{"linear",
                                              "conv",
                                              "max_pool",
                                              "average_pool",
                                              "global_average_pool",
                                              "global_max_pool",
                                              "batch_norm",
                                              "layer_norm",
                                              "rms_norm",
                                              "flatten",
                                              "add",
                                              "relu",
                                              "leaky_relu",
                                              "gelu",
                                              "gelu_tanh",
                                              "silu",
                                              "tanh",
                                              "sigmoid",
                                              "dropout"};
  return kinds;
}

}  // namespace lockstep::nn
