// Presets: well-known models as lists of layers.
#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/nn/model.h"

namespace lockstep::nn {
namespace {

using Layers = std::vector<LayerSpec>;

LayerSpec layer(std::string kind, std::string name = "", std::vector<std::string> inputs = {}) {
  LayerSpec spec;
  spec.kind = std::move(kind);
  spec.name = std::move(name);
  spec.inputs = std::move(inputs);
  return spec;
}

LayerSpec linear(std::int64_t out, std::string name) {
  LayerSpec spec = layer("linear", std::move(name));
  spec.out = out;
  return spec;
}

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

void append_dropout(Layers& layers, double rate) {
  if (rate == 0) return;
  layers.push_back(layer("dropout"));
  layers.back().rate = rate;
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
        add_block(fmt::format("stage{}.block{}", stage, block), width << (stage - 1), narrows);
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

}  // namespace

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names{"linear", "mlp", "lenet", "resnet20"};
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
  throw UserError("unknown preset '{}'; known presets: {}", options.preset,
                  fmt::join(preset_names(), ", "));
}

}  // namespace lockstep::nn
