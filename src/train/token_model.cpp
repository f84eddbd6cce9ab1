#include "lockstep/train/token_model.h"

#include <algorithm>
#include <array>

#include "lockstep/core/error.h"
#include "lockstep/train/checkpoint.h"
#include "train/data_facts.h"
#include "train/precision.h"

namespace lockstep::train {
namespace {

// These mix tokens in ways that a cache of keys and values does not hold.
constexpr std::array kMixing{"conv",     "max_pool",
                             "flatten",  "global_max_pool",
                             "average_pool", "global_average_pool"};

void check_goes_on(const nn::LayerSpec& layer, const std::string& checkpoint) {
  if (layer.kind == "attention" && !layer.causal)
    throw UserError(
        "the model of {} cannot generate: its attention sees later tokens (causal = false)",
        checkpoint);
  if (std::ranges::count(kMixing, layer.kind) > 0)
    throw UserError(
        "the model of {} cannot generate: its layer of kind {} takes in whole sequences",
        checkpoint, layer.kind);
}

}  // namespace

TokenModel read_token_model(const Run& run, const std::filesystem::path& checkpoint,
                            const Device& device) {
  const std::string name = checkpoint.string();
  const DataFacts facts = parse_facts(read_checkpoint_text(checkpoint).description, name);
  if (facts.tokenizer_kind.empty())
    throw UserError(
        "the model of {} was not trained on text, so there is nothing to generate; name a "
        "checkpoint of a token model (preset gpt or llama, for instance)",
        name);
  TokenModel model;
  model.tokenizer = {facts.tokenizer_kind, facts.tokenizer_model};
  model.vocabulary = facts.classes;
  model.outputs = std::max(run.model.outputs, facts.classes);
  model.context = run.data.sequence;
  model.precision = precision_in_force(run, device);
  model.layers = run.model.layers.empty()
                     ? nn::make_preset(run.model.preset, Shape{run.data.sequence}, model.outputs)
                     : run.model.layers;
  bool table = false;
  for (nn::LayerSpec& layer : model.layers) {
    check_goes_on(layer, name);
    if (layer.kind != "positions") continue;
    if (layer.context == 0) layer.context = run.data.sequence;
    model.context = table ? std::min(model.context, layer.context) : layer.context;
    table = true;
  }
  return model;
}

}  // namespace lockstep::train
