// What presets are written with: layers in one line each.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "lockstep/nn/model.h"

namespace lockstep::nn {

inline LayerSpec layer(std::string kind, std::string name = "",
                       std::vector<std::string> inputs = {}) {
  LayerSpec spec;
  spec.kind = std::move(kind);
  spec.name = std::move(name);
  spec.inputs = std::move(inputs);
  return spec;
}

inline LayerSpec linear(std::int64_t out, std::string name) {
  LayerSpec spec = layer("linear", std::move(name));
  spec.out = out;
  return spec;
}

inline void append_dropout(std::vector<LayerSpec>& layers, double rate, std::string name = "") {
  if (rate == 0) return;
  layers.push_back(layer("dropout", std::move(name)));
  layers.back().rate = rate;
}

// sample: of tokens, [T].
std::vector<LayerSpec> make_gpt(PresetOptions options, const Shape& sample, std::int64_t outputs);
std::vector<LayerSpec> make_llama(const PresetOptions& options, const Shape& sample,
                                  std::int64_t outputs);

}  // namespace lockstep::nn
