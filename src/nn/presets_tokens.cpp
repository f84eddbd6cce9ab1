// Presets for token numbers: decoders in the manner of GPT-2 and of Llama. Rows of a weight are in
// the order of the published checkpoints: queries, keys and values stacked, gate and up stacked.
#include <cmath>

#include "lockstep/core/error.h"
#include "nn/preset_layers.h"

namespace lockstep::nn {
namespace {

constexpr double kDeviation = 0.02;  // of initial weights, Radford et al. 2019

void check(const PresetOptions& o, const Shape& sample) {
  const std::int64_t kv = o.kv_heads > 0 ? o.kv_heads : o.heads;
  if (sample.rank() != 1)
    throw UserError("preset '{}' needs samples of token numbers, one dimension, not {}", o.preset,
                    sample.text());
  if (o.blocks < 1 || o.embedding < 1 || o.heads < 1)
    throw UserError("preset '{}': blocks = {}, embedding = {} and heads = {} start at 1", o.preset,
                    o.blocks, o.embedding, o.heads);
  if (o.embedding % o.heads != 0)
    throw UserError("preset '{}': heads = {} must divide embedding = {}", o.preset, o.heads,
                    o.embedding);
  if (o.heads % kv != 0)
    throw UserError("preset '{}': kv_heads = {} must divide heads = {}", o.preset, kv, o.heads);
}

// A pre-norm decoder: x + attention(norm(x)), then x + feed_forward(norm(x)).
class Decoder {
 public:
  Decoder(const PresetOptions& options, const char* norm, double epsilon, bool bias)
      : o_(options), norm_(norm), epsilon_(epsilon), bias_(bias) {}

  void embed(std::int64_t vocabulary) {
    LayerSpec tokens = layer("embedding", "tokens");
    tokens.vocabulary = vocabulary;
    tokens.out = o_.embedding;
    tokens.deviation = kDeviation;
    layers_.push_back(tokens);
  }
  void add_positions(std::int64_t context) {
    LayerSpec positions = layer("positions", "positions");
    positions.context = context;
    positions.deviation = kDeviation;
    layers_.push_back(positions);
  }
  void drop(const std::string& name) { append_dropout(layers_, o_.dropout, name); }

  void begin_block(std::int64_t number) {
    block_ = fmt::format("block{}.", number);
    first_of_block_ = layers_.size();
    stream_ = layers_.back().name;
  }
  void norm(const std::string& name) {
    layers_.push_back(layer(norm_, block_ + name));
    layers_.back().epsilon = epsilon_;
  }
  void linear(const std::string& name, std::int64_t out, double deviation = kDeviation) {
    layers_.push_back(nn::linear(out, block_ + name));
    layers_.back().bias = bias_;
    layers_.back().deviation = deviation;
  }
  void attend(std::int64_t kv_heads, double rotary, double dropout) {
    const std::int64_t width = o_.embedding / o_.heads;
    linear("qkv", (o_.heads + 2 * kv_heads) * width);
    LayerSpec attention = layer("attention", block_ + "attention");
    attention.heads = o_.heads;
    attention.kv_heads = kv_heads;
    attention.rotary = rotary;
    attention.rate = dropout;
    layers_.push_back(attention);
  }
  void apply(const char* kind, const std::string& name) {
    layers_.push_back(layer(kind, block_ + name));
  }
  // The branch's last product, dropped out and added to the stream it came from.
  void join(const std::string& name, double deviation, int number) {
    linear(name, o_.embedding, deviation);
    drop(fmt::format("{}dropout{}", block_, number));
    const std::string add = fmt::format("{}add{}", block_, number);
    layers_.push_back(layer("add", add, {layers_.back().name, stream_}));
    stream_ = add;
  }
  void end_block(std::int64_t number) {
    for (std::size_t i = first_of_block_; i < layers_.size(); ++i)
      layers_[i].block = static_cast<int>(number) + 1;
    block_.clear();
  }

  std::vector<LayerSpec> finish(std::int64_t outputs) {
    norm("norm");
    linear("output", outputs);
    layers_.back().bias = false;
    if (o_.tied) layers_.back().tied = "tokens";
    return std::move(layers_);
  }

 private:
  const PresetOptions& o_;
  const char* const norm_;
  const double epsilon_;
  const bool bias_;
  std::vector<LayerSpec> layers_;
  std::string block_, stream_;  // name of the block with a dot; of the residual stream's last layer
  std::size_t first_of_block_ = 0;
};

}  // namespace

// Radford et al. 2019: the projections back to the residual stream begin smaller by the root of
// their number.
std::vector<LayerSpec> make_gpt(PresetOptions options, const Shape& sample, std::int64_t outputs) {
  if (options.preset == "gpt2-124m") {
    options.blocks = 12, options.embedding = 768, options.heads = 12;
    options.feed_forward = 0, options.tied = true;
    if (options.context == 0) options.context = 1024;
  }
  options.kv_heads = 0;
  check(options, sample);
  const double residual = kDeviation / std::sqrt(2.0 * static_cast<double>(options.blocks));
  const std::int64_t inner =
      options.feed_forward > 0 ? options.feed_forward : 4 * options.embedding;
  Decoder decoder(options, "layer_norm", 1e-5, true);
  decoder.embed(outputs);
  decoder.add_positions(options.context > 0 ? options.context : sample[0]);
  decoder.drop("dropout");
  for (std::int64_t b = 0; b < options.blocks; ++b) {
    decoder.begin_block(b);
    decoder.norm("norm1");
    decoder.attend(options.heads, 0, options.dropout);
    decoder.join("projection", residual, 1);
    decoder.norm("norm2");
    decoder.linear("up", inner);
    decoder.apply("gelu_tanh", "gelu");
    decoder.join("down", residual, 2);
    decoder.end_block(b);
  }
  return decoder.finish(outputs);
}

// Touvron et al. 2023, with grouped queries (Ainslie et al. 2023).
std::vector<LayerSpec> make_llama(const PresetOptions& options, const Shape& sample,
                                  std::int64_t outputs) {
  check(options, sample);
  const std::int64_t inner = options.feed_forward > 0
                                 ? options.feed_forward
                                 : (8 * options.embedding / 3 + 63) / 64 * 64;
  Decoder decoder(options, "rms_norm", 1e-5, false);
  decoder.embed(outputs);
  decoder.drop("dropout");
  for (std::int64_t b = 0; b < options.blocks; ++b) {
    decoder.begin_block(b);
    decoder.norm("norm1");
    decoder.attend(options.kv_heads > 0 ? options.kv_heads : options.heads, options.rotary,
                   options.dropout);
    decoder.join("projection", kDeviation, 1);
    decoder.norm("norm2");
    decoder.linear("gate_up", 2 * inner);
    decoder.apply("swiglu", "swiglu");
    decoder.join("down", kDeviation, 2);
    decoder.end_block(b);
  }
  return decoder.finish(outputs);
}

}  // namespace lockstep::nn
