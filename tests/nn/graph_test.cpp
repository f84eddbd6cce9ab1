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

std::string refusal(const std::vector<LayerSpec>& layers, const Shape& sample,
                    std::int64_t outputs) {
  try {
    make_graph(layers, sample, outputs);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

TEST(Graph, infers_shapes_of_every_preset) {
  for (const std::string& name : preset_names()) {
    for (const Shape& sample : {Shape{28, 28}, Shape{32, 32, 3}}) {
      PresetOptions options;
      options.preset = name;
      const Graph graph = make_graph(make_preset(options, sample, 10), sample, 10);
      EXPECT_EQ(graph.values[graph.output].sample, (Shape{10})) << name;
    }
  }
}

TEST(Graph, resnet20_has_the_published_size) {
  PresetOptions options;
  options.preset = "resnet20";
  const Shape sample{32, 32, 3};
  const Lowered lowered = lower(make_graph(make_preset(options, sample, 10), sample, 10), 4);
  // He et al. 2016, table 6: 0.27 M; projections add 2 x (16*32 + 64) + ... = 2,752 with their
  // norms.
  EXPECT_EQ(lowered.table.elements(), 272474);
}

TEST(Graph, gives_a_bare_image_one_channel_and_reads_one_number_for_all_dimensions) {
  const Graph bare =
      make_graph({conv(4, {3, 3}), layer("flatten"), layer("linear")}, Shape{9, 7}, 2);
  EXPECT_EQ(bare.values[1].sample, (Shape{7, 5, 4}));
  const Graph cube = make_graph({conv(4, {3}, {1}), layer("global_average_pool"), layer("linear")},
                                Shape{5, 6, 7, 2}, 3);
  EXPECT_EQ(cube.values[1].sample, (Shape{5, 6, 7, 4}));
  const Graph line = make_graph({conv(4, {3}), layer("flatten"), layer("linear")}, Shape{9, 7}, 2);
  EXPECT_EQ(line.values[1].sample, (Shape{7, 4}));
}

TEST(Graph, refusals_name_the_layer_and_the_remedy) {
  EXPECT_NE(refusal({layer("convolve")}, Shape{4}, 2).find("unknown layer kind 'convolve'"),
            std::string::npos);
  EXPECT_NE(refusal({layer("linear", "head")}, Shape{4, 4}, 2).find("put a flatten before it"),
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

TEST(Lower, fuses_activation_and_residual_and_orders_the_table_by_ops) {
  LayerSpec first = conv(4, {3, 3}, {1, 1});
  first.name = "c";
  const Graph graph =
      make_graph({first, layer("batch_norm", "b", {"c"}), layer("add", "s", {"b", "c"}),
                  layer("relu", "r"), layer("global_average_pool", "p"), layer("linear", "l")},
                 Shape{6, 6, 2}, 3);
  const Lowered lowered = lower(graph, 2);
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
      {layer("linear", "a"), layer("relu", "r"), layer("add", "s", {"r", "a"})}, Shape{4}, 4);
  const Lowered lowered = lower(graph, 2);
  EXPECT_EQ(lowered.ops.size(), 3u);
  EXPECT_EQ(std::get<ops::Linear>(lowered.ops[0].description).activation, ops::Activation::kNone);
}

}  // namespace
}  // namespace lockstep::nn
