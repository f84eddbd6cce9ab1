#include "nn/graph.h"

#include <algorithm>
#include <map>

#include "lockstep/core/error.h"

namespace lockstep::nn {
namespace {

class GraphBuilder {
 public:
  explicit GraphBuilder(const GraphOptions& options) : options_(options) {
    graph_.values.push_back({options.sample, -1, {}});
  }

  Graph run(std::vector<LayerSpec> layers) {
    if (layers.empty()) throw UserError("the model has no layers");
    name_layers(layers);
    for (LayerSpec& spec : layers) append(spec);
    graph_.output = graph_.layers.back().output;
    check_all_used();
    check_blocks();
    check_output();
    return std::move(graph_);
  }

 private:
  static void name_layers(std::vector<LayerSpec>& layers) {
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

  void append(LayerSpec& spec) {
    const std::size_t arity = spec.kind == "add" ? 2 : 1;
    const int index = static_cast<int>(graph_.layers.size());
    if (spec.inputs.empty() && arity == 1)
      spec.inputs = {index == 0 ? "input" : graph_.layers.back().spec.name};
    if (spec.inputs.size() != arity)
      throw UserError("layer '{}' ({}) needs inputs = [{} name{}]", spec.name, spec.kind, arity,
                      arity == 1 ? "" : "s");
    GraphLayer layer;
    std::vector<Shape> shapes;
    for (const std::string& input : spec.inputs) {
      const int value = find_input(spec, input);
      layer.inputs.push_back(value);
      graph_.values[value].consumers.push_back(index);
      shapes.push_back(graph_.values[value].sample);
    }
    check_tokens(spec, layer.inputs);
    const Shape out = infer_shape(spec, shapes, options_);
    // A bare image that a convolution reads gets its channel dimension for everyone.
    graph_.values[layer.inputs[0]].sample = shapes[0];
    if (!spec.tied.empty()) layer.tied = find_tied(spec, shapes[0]);
    layer.output = static_cast<int>(graph_.values.size());
    graph_.values.push_back({out, index, {}});
    if (!layer_of_.emplace(spec.name, index).second || spec.name == "input")
      throw UserError("two layers are named '{}'; names must differ", spec.name);
    layer.spec = spec;
    graph_.layers.push_back(std::move(layer));
  }

  int find_input(const LayerSpec& spec, const std::string& input) const {
    if (input == "input") return 0;
    const auto found = layer_of_.find(input);
    if (found == layer_of_.end())
      throw UserError("layer '{}': its input '{}' is no earlier layer", spec.name, input);
    return graph_.layers[found->second].output;
  }

  void check_tokens(const LayerSpec& spec, const std::vector<int>& inputs) const {
    for (const int value : inputs) {
      const bool tokens = options_.tokens && value == 0;
      if (tokens && spec.kind != "embedding")
        throw UserError("layer '{}' ({}) reads token numbers; put an embedding before it",
                        spec.name, spec.kind);
      if (!tokens && spec.kind == "embedding")
        throw UserError(
            "layer '{}' (embedding) needs token numbers, but its input has values; use a linear "
            "layer, or a dataset of tokens",
            spec.name);
    }
  }

  int find_tied(const LayerSpec& spec, const Shape& in) const {
    const auto found = layer_of_.find(spec.tied);
    if (found == layer_of_.end() || graph_.layers[found->second].spec.kind != "embedding")
      throw UserError("layer '{}': tied = \"{}\" is no earlier embedding", spec.name, spec.tied);
    const LayerSpec& embedding = graph_.layers[found->second].spec;
    if (embedding.vocabulary != spec.out || embedding.out != in[-1])
      throw UserError(
          "layer '{}' has a weight of {}x{} and cannot share the {}x{} of embedding '{}'; give "
          "them the same shape, or leave out tied",
          spec.name, spec.out, in[-1], embedding.vocabulary, embedding.out, spec.tied);
    for (const GraphLayer& other : graph_.layers) {
      if (other.tied == found->second)
        throw UserError("layers '{}' and '{}' are both tied to '{}'; an embedding can share its "
                        "weight with one layer",
                        other.spec.name, spec.name, spec.tied);
    }
    return found->second;
  }

  void check_all_used() const {
    for (const GraphLayer& layer : graph_.layers) {
      if (layer.output != graph_.output && graph_.values[layer.output].consumers.empty())
        throw UserError(
            "layer '{}' is used by nobody; remove it or name it in another layer's inputs",
            layer.spec.name);
    }
  }

  void check_blocks() const {
    std::map<int, std::size_t> last;  // block -> its last layer so far
    for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
      const LayerSpec& spec = graph_.layers[i].spec;
      if (spec.block <= 0) continue;
      const auto [found, first] = last.emplace(spec.block, i);
      if (!first && found->second + 1 != i)
        throw UserError(
            "layer '{}' is of block {}, but so is '{}' with others between them; the layers of a "
            "block must follow one another",
            spec.name, spec.block, graph_.layers[found->second].spec.name);
      found->second = i;
    }
  }

  void check_output() const {
    const std::string& name = graph_.layers.back().spec.name;
    const Shape& last = graph_.values[graph_.output].sample;
    const auto [outputs, labels] = std::pair{options_.outputs, options_.labels};
    // A program for generation gives logits for each token that it is fed.
    if (options_.cache > 0) {
      if (last.rank() == 2 && last[1] == outputs) return;
      throw UserError("the last layer '{}' gives {} per sample, but tokens need [tokens, {}]", name,
                      last.text(), outputs);
    }
    if (labels > 1) {
      if (last.rank() > 1 && last[-1] == outputs && last.elements() == labels * outputs) return;
      throw UserError(
          "the last layer '{}' gives {} per sample, but the loss needs {} outputs for each of {} "
          "{}",
          name, last.text(), outputs, labels, options_.tokens ? "tokens" : "labels");
    }
    if (last == Shape{outputs}) return;
    throw UserError("the last layer '{}' gives {} per sample, but the loss needs {} output{}{}",
                    name, last.text(), outputs, outputs == 1 ? "" : "s",
                    last.rank() > 1 && last[-1] == outputs
                        ? "; a linear layer works on the last dimension alone, so put a flatten or "
                          "a global pool before it"
                        : "");
  }

  const GraphOptions& options_;
  Graph graph_;
  std::map<std::string, int> layer_of_;  // name -> layer
};

}  // namespace

Graph make_graph(const std::vector<LayerSpec>& layers, const GraphOptions& options) {
  return GraphBuilder(options).run(layers);
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
                                              "dropout",
                                              "embedding",
                                              "positions",
                                              "attention",
                                              "swiglu"};
  return kinds;
}

}  // namespace lockstep::nn
