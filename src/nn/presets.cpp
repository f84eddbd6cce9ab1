// Presets: well-known models as lists of layers.
#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/nn/model.h"
#include "nn/preset_layers.h"

namespace lockstep::nn {
namespace {

using Layers = std::vector<LayerSpec>;

LayerSpec conv2d(std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                 std::string name, std::vector<std::string> inputs = {}) {
  LayerSpec spec = layer("conv", std::move(name), std::move(inputs));
  spec.out = out;
  spec.kernel = {kernel, kernel};
  spec.stride = {stride, stride};
  spec.padding = {padding, padding};
  return spec;
}

LayerSpec pool2d(const char* kind, std::int64_t kernel) {
  LayerSpec spec = layer(kind);
  spec.kernel = {kernel, kernel};
  return spec;
}

void append_flatten(Layers& layers, const Shape& sample) {
  if (sample.rank() != 1) layers.push_back(layer("flatten"));
}

Layers make_mlp(const PresetOptions& options, const Shape& sample, std::int64_t outputs) {
  Layers layers;
  append_flatten(layers, sample);
  int number = 0;
  for (const std::int64_t width : options.hidden) {
    layers.push_back(linear(width, fmt::format("hidden{}", ++number)));
    layers.push_back(layer(options.activation));
    append_dropout(layers, options.dropout);
  }
  layers.push_back(linear(outputs, "output"));
  return layers;
}

void require_image(const PresetOptions& options, const Shape& sample, std::int64_t smallest) {
  const bool image =
      (sample.rank() == 2 || sample.rank() == 3) && sample[0] >= smallest && sample[1] >= smallest;
  if (!image)
    throw UserError("preset '{}' needs images of [H, W] or [H, W, C] with H, W >= {}, not {}",
                    options.preset, smallest, sample.text());
}

// LeCun et al. 1998, with relu and max pooling as it is taught today.
Layers make_lenet(const PresetOptions& options, const Shape& sample, std::int64_t outputs) {
  require_image(options, sample, 12);
  Layers layers{conv2d(6, 5, 1, 2, "conv1"),
                layer("relu"),
                pool2d("max_pool", 2),
                conv2d(16, 5, 1, 0, "conv2"),
                layer("relu"),
                pool2d("max_pool", 2),
                layer("flatten"),
                linear(120, "hidden1"),
                layer("relu")};
  append_dropout(layers, options.dropout);
  layers.push_back(linear(84, "hidden2"));
  layers.push_back(layer("relu"));
  append_dropout(layers, options.dropout);
  layers.push_back(linear(outputs, "output"));
  return layers;
}

// The CIFAR network of He et al. 2016, section 4.2, n = 3; projection shortcuts (option B) where
// the width changes.
class Resnet {
 public:
  explicit Resnet(std::int64_t width) {
    convolution("conv1", width, 3, 1, "input");
    norm("bn1", "conv1");
    relu("relu1", "bn1");
    for (int stage = 1; stage <= 3; ++stage) {
      for (int block = 1; block <= 3; ++block) {
        const bool narrows = stage > 1 && block == 1;
        const std::size_t first = layers_.size();
        add_block(fmt::format("stage{}.block{}", stage, block), width << (stage - 1), narrows);
        for (std::size_t i = first; i < layers_.size(); ++i)
          layers_[i].block = 3 * (stage - 1) + block;
      }
    }
  }
  Layers finish(std::int64_t outputs) {
    layers_.push_back(layer("global_average_pool", "pool"));
    layers_.push_back(linear(outputs, "output"));
    return std::move(layers_);
  }

 private:
  void convolution(const std::string& name, std::int64_t out, std::int64_t kernel,
                   std::int64_t stride, const std::string& from) {
    layers_.push_back(conv2d(out, kernel, stride, kernel / 2, name, {from}));
    layers_.back().bias = false;  // the norm that follows has one
    last_ = name;
  }
  void norm(const std::string& name, const std::string& from) {
    layers_.push_back(layer("batch_norm", name, {from}));
    last_ = name;
  }
  void relu(const std::string& name, const std::string& from) {
    layers_.push_back(layer("relu", name, {from}));
    last_ = name;
  }
  void add_block(const std::string& name, std::int64_t width, bool narrows) {
    std::string skip = last_;
    const std::string from = last_;
    convolution(name + ".conv1", width, 3, narrows ? 2 : 1, from);
    norm(name + ".bn1", last_);
    relu(name + ".relu1", last_);
    convolution(name + ".conv2", width, 3, 1, last_);
    norm(name + ".bn2", last_);
    const std::string main = last_;
    if (narrows) {
      convolution(name + ".shortcut.conv", width, 1, 2, from);
      norm(name + ".shortcut.bn", last_);
      skip = last_;
    }
    layers_.push_back(layer("add", name + ".add", {main, skip}));
    relu(name + ".relu2", name + ".add");
  }

  Layers layers_;
  std::string last_;
};

// The network of the MLPerf HPC benchmark CosmoFlow (Mathuriya et al. 2018; Farrell et al. 2021):
// each convolution halves the volume, so that 32 is the least it can start from.
Layers make_cosmoflow(const PresetOptions& options, const Shape& sample, std::int64_t outputs) {
  constexpr double kSlope = 0.3;  // of the benchmark's leaky relu
  const bool volume = (sample.rank() == 3 || sample.rank() == 4) && sample[0] >= 32 &&
                      sample[1] >= 32 && sample[2] >= 32;
  if (!volume)
    throw UserError(
        "preset 'cosmoflow' needs volumes of [D, H, W] or [D, H, W, C] with D, H, W >= 32, not {}",
        sample.text());
  Layers layers;
  const auto append_activation = [&] {
    layers.push_back(layer("leaky_relu"));
    layers.back().slope = kSlope;
  };
  for (int i = 0; i < 5; ++i) {
    LayerSpec conv = layer("conv", fmt::format("conv{}", i + 1));
    conv.out = 32 << i;
    conv.kernel = {3, 3, 3};
    conv.padding = {1};
    layers.push_back(conv);
    append_activation();
    layers.push_back(layer("max_pool"));
    layers.back().kernel = {2};
    layers.back().stride = {2};
  }
  layers.push_back(layer("flatten"));
  for (const std::int64_t width : {128, 64}) {
    layers.push_back(linear(width, fmt::format("dense{}", width == 128 ? 1 : 2)));
    append_activation();
    append_dropout(layers, options.dropout);
  }
  layers.push_back(linear(outputs, "output"));
  return layers;
}

}  // namespace

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names{"linear",    "mlp", "lenet",     "resnet20",
                                              "cosmoflow", "gpt", "gpt2-124m", "llama"};
  return names;
}

std::vector<LayerSpec> make_preset(const PresetOptions& options, const Shape& sample,
                                   std::int64_t outputs) {
  if (options.preset == "linear") {
    Layers layers;
    append_flatten(layers, sample);
    layers.push_back(linear(outputs, "output"));
    return layers;
  }
  if (options.preset == "mlp") return make_mlp(options, sample, outputs);
  if (options.preset == "lenet") return make_lenet(options, sample, outputs);
  if (options.preset == "resnet20") {
    require_image(options, sample, 8);
    return Resnet(options.width).finish(outputs);
  }
  if (options.preset == "cosmoflow") return make_cosmoflow(options, sample, outputs);
  if (options.preset == "gpt" || options.preset == "gpt2-124m")
    return make_gpt(options, sample, outputs);
  if (options.preset == "llama") return make_llama(options, sample, outputs);
  throw UserError("unknown preset '{}'; known presets: {}", options.preset,
                  fmt::join(preset_names(), ", "));
}

}  // namespace lockstep::nn
