// A model as its user describes it: a list of layers, or a preset that makes one.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lockstep/core/shape.h"

namespace lockstep::nn {

// One [[model.layers]] table. Which members count depends on kind; `layer_kinds()` says.
struct LayerSpec {
  std::string kind;  // "linear", "conv", "max_pool", ...
  std::string name;  // default: kind and number, "conv1"
  std::vector<std::string>
      inputs;            // names of earlier layers; default: the one before ("input" is the data)
  std::int64_t out = 0;  // linear, conv: output features or channels; 0: the number of outputs
  std::vector<std::int64_t> kernel, stride, padding;  // conv and pools; one number stands for all
  std::int64_t groups = 1;
  bool bias = true;
  double rate = 0;      // dropout
  double epsilon = 0;   // norms; 0: the kind's own default
  double slope = 0.01;  // leaky_relu
};
const std::vector<std::string>& layer_kinds();

struct PresetOptions {
  std::string preset;                          // "linear", "mlp", "lenet", "resnet20"
  std::vector<std::int64_t> hidden{256, 128};  // mlp
  std::string activation = "relu";             // mlp
  double dropout = 0;                          // mlp, lenet
  std::int64_t width = 16;                     // resnet20: channels of the first stage
};
const std::vector<std::string>& preset_names();
// Layers of a preset for samples of this shape. Throws UserError if the shape does not suit.
std::vector<LayerSpec> make_preset(const PresetOptions& options, const Shape& sample,
                                   std::int64_t outputs);

}  // namespace lockstep::nn
