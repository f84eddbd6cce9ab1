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
  std::int64_t out = 0;  // linear, conv, embedding: output features or channels; linear 0: the
                         // number of outputs
  std::vector<std::int64_t> kernel, stride, padding;  // conv and pools; one number stands for all
  std::int64_t groups = 1;
  bool bias = true;
  double rate = 0;              // dropout; attention: of the probabilities
  std::int64_t vocabulary = 0;  // embedding; 0: the number of outputs
  std::int64_t context = 0;     // positions: rows of the table; 0: the tokens of a sample
  std::int64_t heads = 1, kv_heads = 0;  // attention; kv_heads 0: heads
  bool causal = true;                    // attention
  double rotary = 0;                     // attention: base; 0: no rotation
  std::string tied;      // linear: the embedding layer whose weight it shares
  int block = 0;         // > 0: the unit of train.recompute = "block" that the layer belongs to
  double deviation = 0;  // of normal initial weights: linear, embedding, positions; 0: the kind's
                         // own
  double epsilon = 0;    // norms; 0: the kind's own default
  double slope = 0.01;   // leaky_relu
};
const std::vector<std::string>& layer_kinds();

struct PresetOptions {
  std::string preset;                          // "linear", "mlp", "lenet", "resnet20", "cosmoflow",
                                               // "gpt", "gpt2-124m", "llama"
  std::vector<std::int64_t> hidden{256, 128};  // mlp
  std::string activation = "relu";             // mlp
  double dropout = 0;                          // mlp, lenet, gpt, gpt2-124m, llama, cosmoflow
  std::int64_t width = 16;                     // resnet20: channels of the first stage
  // gpt and llama (gpt2-124m has its own)
  std::int64_t blocks = 6, embedding = 384, heads = 6;
  std::int64_t kv_heads = 0;      // llama; 0: heads
  std::int64_t feed_forward = 0;  // 0: 4 E (gpt), 8/3 E up to a multiple of 64 (llama)
  std::int64_t context = 0;       // gpt, gpt2-124m: rows of the position table; 0: tokens of a
                                  // sample (gpt), 1024 (gpt2-124m)
  double rotary = 10000;          // llama: base
  bool tied = true;               // gpt, llama: the output layer shares the embedding's weight
};
const std::vector<std::string>& preset_names();
// Layers of a preset for samples of this shape. Throws UserError if the shape does not suit.
std::vector<LayerSpec> make_preset(const PresetOptions& options, const Shape& sample,
                                   std::int64_t outputs);

}  // namespace lockstep::nn
