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

// What was said of a field or a split: what was not stays out.
template <class Owner>
std::string item_text(const std::string& list, const std::vector<Option<Owner>>& keys,
                      const Owner& item) {
  const Owner defaults;
  std::string text = fmt::format("\n[[{}]]\n", list);
  for (const auto& o : keys) {
    const Value value = o.get(item);
    if (value != o.get(defaults)) text += fmt::format("{} = {}\n", o.name, toml_text(o, value));
  }
  return text;
}

std::string lists_text(const train::Run& run, const std::string& section) {
  std::string text;
  if (section == "data") {
    for (const auto& field : run.data.dataset.fields)
      text += item_text("data.fields", field_keys(), field);
    for (const auto& split : run.data.dataset.splits)
      text += item_text("data.splits", split_keys(), split);
  }
  if (section == "model")
    for (const nn::LayerSpec& layer : run.model.layers) text += layer_text(layer);
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
        text += fmt::format("{} = {}\n", o.name, toml_text(o, o.get(run)));
      }
    }
    text += lists_text(run, section.name);
  }
  return text;
}

}  // namespace lockstep::config
