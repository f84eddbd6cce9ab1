#include "nn/graph.h"

#include <gtest/gtest.h>

#include "lockstep/core/error.h"
#include "nn/lower.h"

namespace lockstep::nn {
namespace {

LayerSpec layer(const char* kind, const char* name = "", std::vector<std::string> inputs = {}) {
  LayerSpec spec;
  spec.kind = kind;
  spec.name = name;
  spec.inputs = std::move(inputs);
  return spec;
}

LayerSpec conv(std::int64_t out, std::vector<std::int64_t> kernel,
               std::vector<std::int64_t> padding = {}) {
  LayerSpec spec = layer("conv");
  spec.out = out;
  spec.kernel = std::move(kernel);
  spec.padding = std::move(padding);
  return spec;
}

std::string refusal(const std::vector<LayerSpec>& layers, const GraphOptions& options) {
  try {
    make_graph(layers, options);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}
std::string refusal(const std::vector<LayerSpec>& layers, const Shape& sample,
                    std::int64_t outputs) {
  return refusal(layers, {sample, outputs});
}

TEST(Graph, gives_a_bare_image_one_channel_and_reads_one_number_for_all_dimensions) {
  const Graph bare =
      make_graph({conv(4, {3, 3}), layer("flatten"), layer("linear")}, {Shape{9, 7}, 2});
  EXPECT_EQ(bare.values[1].sample, (Shape{7, 5, 4}));
  const Graph cube = make_graph({conv(4, {3}, {1}), layer("global_average_pool"), layer("linear")},
                                {Shape{5, 6, 7, 2}, 3});
  EXPECT_EQ(cube.values[1].sample, (Shape{5, 6, 7, 4}));
  const Graph line =
      make_graph({conv(4, {3}), layer("flatten"), layer("linear")}, {Shape{9, 7}, 2});
  EXPECT_EQ(line.values[1].sample, (Shape{7, 4}));
}

TEST(Graph, refusals_name_the_layer_and_the_remedy) {
  EXPECT_NE(refusal({layer("convolve")}, Shape{4}, 2).find("unknown layer kind 'convolve'"),
            std::string::npos);
  EXPECT_NE(refusal({layer("linear", "head")}, Shape{4, 4}, 2).find("put a flatten"),
            std::string::npos);
  EXPECT_NE(refusal({layer("relu", "a"), layer("linear", "a")}, Shape{4}, 2)
                .find("two layers are named 'a'"),
            std::string::npos);
  EXPECT_NE(
      refusal({layer("relu", "", {"nowhere"})}, Shape{4}, 4).find("'nowhere' is no earlier layer"),
      std::string::npos);
  EXPECT_NE(refusal({layer("relu", "dead"), layer("linear", "", {"input"})}, Shape{4}, 2)
                .find("used by nobody"),
            std::string::npos);
  EXPECT_NE(refusal({layer("relu")}, Shape{4}, 2).find("the loss needs 2 outputs"),
            std::string::npos);
  EXPECT_NE(
      refusal({conv(4, {9, 9}), layer("flatten"), layer("linear")}, Shape{5, 5}, 2).find("conv1"),
      std::string::npos);
  EXPECT_NE(refusal({conv(4, {3, 3, 3})}, Shape{5, 5}, 2), "");
  LayerSpec grouped = conv(4, {3, 3});
  grouped.groups = 3;
  EXPECT_NE(refusal({grouped}, Shape{5, 5, 3}, 2).find("groups = 3 must divide"),
            std::string::npos);
}

LayerSpec embedding(std::int64_t width, const char* name = "tokens") {
  LayerSpec spec = layer("embedding", name);
  spec.out = width;
  return spec;
}
LayerSpec attention(std::int64_t heads, std::int64_t kv_heads = 0, double rotary = 0) {
  LayerSpec spec = layer("attention", "attention");
  spec.heads = heads, spec.kv_heads = kv_heads, spec.rotary = rotary;
  return spec;
}
LayerSpec linear(std::int64_t out, const char* name = "", const char* tied = "") {
  LayerSpec spec = layer("linear", name);
  spec.out = out, spec.tied = tied;
  return spec;
}
LayerSpec positions(std::int64_t context) {
  LayerSpec spec = layer("positions", "positions");
  spec.context = context;
  return spec;
}

const GraphOptions kTokens{Shape{5}, 11, true, 5};

TEST(Graph, infers_the_shapes_of_a_token_model) {
  const Graph graph = make_graph({embedding(8), positions(0), linear(16), attention(4, 2),
                                  linear(6), layer("swiglu"), linear(0)},
                                 kTokens);
  const std::vector<Shape> expected{Shape{5},     Shape{5, 8}, Shape{5, 8}, Shape{5, 16},
                                    Shape{5, 8},  Shape{5, 6}, Shape{5, 3}, Shape{5, 11}};
  ASSERT_EQ(graph.values.size(), expected.size());
  for (std::size_t v = 0; v < expected.size(); ++v) EXPECT_EQ(graph.values[v].sample, expected[v]);
  EXPECT_EQ(graph.layers[0].spec.vocabulary, 11);
  EXPECT_EQ(graph.layers[1].spec.context, 5);
}

TEST(Graph, refusals_of_token_models_name_the_layer) {
  const auto expect = [](const std::vector<LayerSpec>& layers, const GraphOptions& options,
                         const char* part) {
    const std::string sentence = refusal(layers, options);
    EXPECT_NE(sentence.find(part), std::string::npos) << sentence;
  };
  expect({embedding(8), linear(15), attention(4), linear(0)}, kTokens,
         "12 must divide the 15 features");
  expect({embedding(8), linear(18), attention(4, 3), linear(0)}, kTokens,
         "kv_heads = 3 must divide heads = 4");
  expect({embedding(8), linear(9), attention(3, 0, 10000), linear(0)}, kTokens,
         "a head has 1 features");
  expect({embedding(8), layer("flatten"), attention(4), linear(0)}, kTokens,
         "layer 'attention' (attention) needs samples of [tokens, features], not 40");
  expect({embedding(8), positions(4), linear(0)}, kTokens, "context = 4, but a sequence has 5");
  expect({linear(0, "head")}, kTokens, "layer 'head' (linear) reads token numbers");
  expect({embedding(8), linear(0)}, {Shape{5}, 11}, "needs token numbers");
  expect({embedding(0), linear(0)}, kTokens, "needs out = features of a token");
  expect({embedding(8), layer("swiglu"), linear(9), layer("swiglu"), linear(0)}, kTokens,
         "'swiglu2' (swiglu) needs an even number");
  expect({embedding(8), linear(0, "head", "nobody")}, kTokens, "tied = \"nobody\" is no earlier");
  expect({embedding(8), linear(4), linear(0, "head", "tokens")}, kTokens,
         "11x4 and cannot share the 11x8 of embedding 'tokens'");
  expect({embedding(8), linear(11, "a", "tokens"), linear(8), linear(0, "b", "tokens")}, kTokens,
         "layers 'a' and 'b' are both tied to 'tokens'");
  expect({embedding(8), linear(7)}, kTokens, "11 outputs for each of 5 tokens");
  LayerSpec open = attention(4);
  open.causal = false;
  expect({embedding(8), linear(24), open, linear(0)}, {Shape{1}, 11, true, 1, 9},
         "only where causal = true");
  expect({embedding(8), positions(8), linear(0)}, {Shape{1}, 11, true, 1, 9},
         "context = 8, but a sequence has 9");
}

TEST(Graph, refuses_a_block_in_pieces) {
  std::vector<LayerSpec> layers{linear(4, "a"), linear(4, "b"), linear(4, "c")};
  layers[0].block = layers[2].block = 1;
  EXPECT_NE(refusal(layers, Shape{4}, 4).find("layer 'c' is of block 1, but so is 'a'"),
            std::string::npos);
}

TEST(Lower, fuses_activation_and_residual_and_orders_the_table_by_ops) {
  LayerSpec first = conv(4, {3, 3}, {1, 1});
  first.name = "c";
  const Graph graph =
      make_graph({first, layer("batch_norm", "b", {"c"}), layer("add", "s", {"b", "c"}),
                  layer("relu", "r"), layer("global_average_pool", "p"), layer("linear", "l")},
                 {Shape{6, 6, 2}, 3});
  const Lowered lowered = lower(graph, {2});
  ASSERT_EQ(lowered.ops.size(), 4u);
  const auto& norm = std::get<ops::BatchNorm>(lowered.ops[1].description);
  EXPECT_TRUE(norm.residual);
  EXPECT_EQ(norm.activation, ops::Activation::kRelu);
  EXPECT_FALSE(std::get<ops::Convolution>(lowered.ops[0].description).need_d_input);
  std::vector<std::string> names;
  for (const Parameter& p : lowered.table.parameters()) names.push_back(p.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"c.weight", "c.bias", "b.weight", "b.bias", "b.running_mean",
                                      "b.running_var", "l.weight", "l.bias"}));
}

TEST(Lower, does_not_fuse_a_value_that_others_read) {
  const Graph graph = make_graph(
      {layer("linear", "a"), layer("relu", "r"), layer("add", "s", {"r", "a"})}, {Shape{4}, 4});
  const Lowered lowered = lower(graph, {2});
  EXPECT_EQ(lowered.ops.size(), 3u);
  EXPECT_EQ(std::get<ops::Linear>(lowered.ops[0].description).activation, ops::Activation::kNone);
}

TEST(Lower, fuses_what_follows_a_linear_layer_within_its_block) {
  const auto model = [](int last_block) {
    LayerSpec dropout = layer("dropout", "d");
    dropout.rate = 0.25;
    std::vector<LayerSpec> layers{linear(4, "in"),  layer("tanh", "x"), linear(4, "l"),
                                  layer("gelu", "g"), dropout, layer("add", "s", {"x", "d"}),
                                  layer("relu", "r")};
    layers[5].block = layers[6].block = last_block;
    return lower(make_graph(layers, {Shape{3}, 4}), {2});
  };
  const Lowered fused = model(0);
  ASSERT_EQ(fused.ops.size(), 4u);
  const auto& d = std::get<ops::Linear>(fused.ops[2].description);
  EXPECT_EQ(d.activation, ops::Activation::kGelu);
  EXPECT_EQ(d.dropout, 0.25f);
  EXPECT_TRUE(d.residual);
  EXPECT_EQ(fused.ops[2].random, 4u) << "the dropout layer's own numbers";
  EXPECT_EQ(fused.ops[2].inputs, (std::vector<int>{2, 2}));
  const Lowered apart = model(1);
  ASSERT_EQ(apart.ops.size(), 4u);
  EXPECT_FALSE(std::get<ops::Linear>(apart.ops[2].description).residual);
  EXPECT_EQ(std::get<ops::Add>(apart.ops[3].description).activation, ops::Activation::kRelu);
}

TEST(Lower, makes_the_last_linear_layer_of_tokens_one_with_the_loss) {
  const Graph graph = make_graph({embedding(8), linear(0, "head", "tokens")}, kTokens);
  const Lowered lowered = lower(graph, {3, ops::Precision::kBf16, true});
  ASSERT_TRUE(lowered.head.has_value());
  EXPECT_EQ(lowered.head->description.rows, 15);
  EXPECT_EQ(lowered.head->description.precision, ops::Precision::kBf16);
  EXPECT_EQ(lowered.table.size(), 2) << "the embedding's weight and the head's bias";
  EXPECT_EQ(table_run(*lowered.head), (std::pair{1, 2}));
  const Lowered inference = lower(graph, {3, ops::Precision::kFp32, false, 9});
  EXPECT_FALSE(inference.head.has_value());
  for (const OpSpec& op : inference.ops) EXPECT_FALSE(op.needs_backward);
}

}  // namespace
}  // namespace lockstep::nn
