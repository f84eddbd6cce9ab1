#include "config/options.h"
#include "lockstep/config/run.h"
#include "lockstep/core/error.h"

namespace lockstep::config {
namespace {

// One number stands for a list of one, as a person would write it.
std::string layer_value(const Value& value) {
  const auto* list = std::get_if<Integers>(&value);
  return list != nullptr && list->size() == 1 ? fmt::format("{}", list->front()) : toml_text(value);
}

bool is_empty(const Value& value) {
  return value == Value(std::string()) || value == Value(Integers()) || value == Value(Texts());
}

std::string layer_text(const nn::LayerSpec& layer) {
  std::string text = "\n[[model.layers]]\n";
  for (const auto& o : layer_keys()) {
    const Value value = o.get(layer);
    if (!o.applies_to(layer.kind) || is_empty(value)) continue;
    text += fmt::format("{} = {}\n", o.name, layer_value(value));
  }
  return text;
}

}  // namespace

std::string resolved_toml(const train::Run& run) {
  std::string text;
  for (const SectionTable& section : sections()) {
    text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", section.name);
    for (const auto& o : section.options) {
      const bool own_layers =
          section.name == "model" && o.name == "preset" && !run.model.layers.empty();
      if (section.applies(o, run) && !own_layers) {
        text += fmt::format("{} = {}\n", o.name, toml_text(o.get(run)));
      }
    }
    if (section.name != "model") continue;
    for (const nn::LayerSpec& layer : run.model.layers) text += layer_text(layer);
  }
  return text;
}

}  // namespace lockstep::config
