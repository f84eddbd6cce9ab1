// [[model.layers]]: what a layer may say, by its kind.
#include <gtest/gtest.h>

#include <algorithm>

#include "config/options.h"
#include "lockstep/config/run.h"
#include "lockstep/core/error.h"

namespace lockstep::config {
namespace {

std::string refusal(const std::string& toml) {
  try {
    parse_run(toml, "run.toml", {});
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Layers, are_read_with_numbers_or_lists) {
  const train::Run run = parse_run(R"([model]
outputs = 10
[[model.layers]]
kind = "conv"
out = 32
kernel = 3
padding = [1, 2]
[[model.layers]]
kind = "add"
name = "sum"
inputs = ["conv1", "input"]
[[model.layers]]
rate = 0
kind = "dropout"
)",
                                   "run.toml", {});
  ASSERT_EQ(run.model.layers.size(), 3U);
  const nn::LayerSpec& conv = run.model.layers[0];
  EXPECT_EQ(conv.kind, "conv");
  EXPECT_EQ(conv.out, 32);
  EXPECT_EQ(conv.kernel, (std::vector<std::int64_t>{3}));
  EXPECT_EQ(conv.padding, (std::vector<std::int64_t>{1, 2}));
  EXPECT_TRUE(conv.stride.empty());
  EXPECT_TRUE(conv.bias);
  EXPECT_EQ(run.model.layers[1].inputs, (std::vector<std::string>{"conv1", "input"}));
  EXPECT_EQ(run.model.layers[1].name, "sum");
  EXPECT_EQ(run.model.layers[2].rate, 0);
  EXPECT_EQ(run.model.outputs, 10);
}

TEST(Layers, of_a_token_model_are_read) {
  const train::Run run = parse_run(R"(
[[model.layers]]
kind = "embedding"
name = "tokens"
out = 8
vocabulary = 300
deviation = 0.02
[[model.layers]]
kind = "positions"
context = 64
[[model.layers]]
kind = "attention"
heads = 4
kv_heads = 2
causal = false
rotary = 10000
block = 1
[[model.layers]]
kind = "linear"
tied = "tokens"
bias = false
)",
                                   "run.toml", {});
  ASSERT_EQ(run.model.layers.size(), 4U);
  EXPECT_EQ(run.model.layers[0].vocabulary, 300);
  EXPECT_EQ(run.model.layers[0].deviation, 0.02);
  EXPECT_EQ(run.model.layers[1].context, 64);
  const nn::LayerSpec& attention = run.model.layers[2];
  EXPECT_EQ(attention.heads, 4);
  EXPECT_EQ(attention.kv_heads, 2);
  EXPECT_FALSE(attention.causal);
  EXPECT_EQ(attention.rotary, 10000);
  EXPECT_EQ(attention.rate, 0) << "a rate is needed of dropout alone";
  EXPECT_EQ(attention.block, 1);
  EXPECT_EQ(run.model.layers[3].tied, "tokens");
}

TEST(Layers, say_the_line_when_a_key_is_bad) {
  const struct {
    const char* toml;
    const char* sentence;
  } cases[] = {
      {"[[model.layers]]\nkind = \"convolve\"",
       "run.toml:2: kind = \"convolve\" is not known; use linear, conv, max_pool, average_pool, "
       "global_average_pool, global_max_pool, batch_norm, layer_norm, rms_norm, flatten, add, "
       "relu, leaky_relu, gelu, gelu_tanh, silu, tanh, sigmoid, dropout, embedding, positions, "
       "attention, swiglu"},
      {"[[model.layers]]\nkind = \"relu\"\n[[model.layers]]\nout = 3",
       "run.toml:3: layer 2 needs the key kind; use one of linear, conv, max_pool, average_pool, "
       "global_average_pool, global_max_pool, batch_norm, layer_norm, rms_norm, flatten, add, "
       "relu, leaky_relu, gelu, gelu_tanh, silu, tanh, sigmoid, dropout, embedding, positions, "
       "attention, swiglu"},
      {"[[model.layers]]\nkind = \"conv\"\nkernal = 3",
       "run.toml:3: unknown key kernal of a layer; did you mean kernel?"},
      {"[[model.layers]]\nkind = \"conv\"\nout = 3", "run.toml:1: layer 1 needs the key kernel"},
      {"[[model.layers]]\nkind = \"conv\"\nkernel = []", "run.toml:3: kernel must not be empty"},
      {"[[model.layers]]\nkind = \"conv\"\nkernel = 0",
       "run.toml:3: kernel = [0] is out of range; allowed: >= 1"},
      {"[[model.layers]]\nkind = \"conv\"\nkernel = 2.5",
       "run.toml:3: kernel must be a list of integers, not 2.5 (a number with a fraction); "
       "allowed: >= 1"},
      {"[[model.layers]]\nout = 3\nkind = \"relu\"",
       "run.toml:2: a layer of kind relu has no out; only linear, conv, embedding have"},
      {"[[model.layers]]\nkind = \"dropout\"", "run.toml:1: layer 1 needs the key rate"},
      {"[[model.layers]]\nkind = \"attention\"\nheads = 0",
       "run.toml:3: heads = 0 is out of range; allowed: >= 1"},
      {"[[model.layers]]\nkind = \"linear\"\nheads = 2",
       "run.toml:3: a layer of kind linear has no heads; only attention has"},
      {"[[model.layers]]\nkind = \"dropout\"\nrate = 1.0",
       "run.toml:3: rate = 1 is out of range; allowed: >= 0, < 1"},
      {"[model]\nlayers = 3",
       "run.toml:2: model.layers must be a list of tables, each written as [[model.layers]]"},
      {"[model]\npreset = \"mlp\"\n[[model.layers]]\nkind = \"linear\"",
       "run.toml:3: the model is described twice, by model.preset = \"mlp\" (run.toml:2) and by "
       "[[model.layers]]; keep one of them"},
  };
  for (const auto& c : cases) EXPECT_EQ(refusal(c.toml), c.sentence);
}

TEST(Layers, keys_name_only_kinds_that_exist) {
  for (const auto& key : layer_keys()) {
    for (const std::string& kind : key.only_for) {
      EXPECT_EQ(std::ranges::count(nn::layer_kinds(), kind), 1) << key.name << ": " << kind;
    }
  }
}

}  // namespace
}  // namespace lockstep::config
