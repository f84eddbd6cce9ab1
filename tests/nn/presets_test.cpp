// Presets have the published sizes, the names that checkpoints are known by, and refuse what does
// not suit them.
#include <gtest/gtest.h>

#include "lockstep/core/error.h"
#include "nn/graph.h"
#include "nn/lower.h"

namespace lockstep::nn {
namespace {

Lowered compiled(const PresetOptions& options, const GraphOptions& task) {
  const auto layers = make_preset(options, task.sample, task.outputs);
  return lower(make_graph(layers, task), {4});
}

std::int64_t parameters(const PresetOptions& options, const GraphOptions& task) {
  return compiled(options, task).table.elements();
}

TEST(Presets, fit_their_samples) {
  for (const std::string& name : preset_names()) {
    PresetOptions options;
    options.preset = name;
    options.blocks = 1, options.embedding = 32, options.heads = 4;
    if (name == "gpt" || name == "gpt2-124m" || name == "llama") {
      compiled(options, {Shape{16}, 50, true, 16});
    } else if (name == "cosmoflow") {
      compiled(options, {Shape{32, 32, 32, 4}, 4});
      compiled(options, {Shape{40, 33, 32}, 4});
    } else {
      compiled(options, {Shape{28, 28}, 10});
      compiled(options, {Shape{32, 32, 3}, 10});
    }
  }
}

TEST(Presets, have_the_published_sizes) {
  PresetOptions options;
  options.preset = "resnet20";
  // He et al. 2016, table 6: 0.27 M; projections add 2 x (16*32 + 64) + ... = 2,752 with their
  // norms.
  EXPECT_EQ(parameters(options, {Shape{32, 32, 3}, 10}), 272474);
  options.preset = "gpt2-124m";  // Hugging Face "gpt2"
  EXPECT_EQ(parameters(options, {Shape{64}, 50257, true, 64}), 124439808);
  // Llama 3.2 1B: 16 blocks of 2048, 32 heads on 8, 8192 inside, 128256 tokens, tied.
  options.preset = "llama";
  options.blocks = 16, options.embedding = 2048, options.heads = 32, options.kv_heads = 8;
  options.feed_forward = 8192;
  EXPECT_EQ(parameters(options, {Shape{64}, 128256, true, 64}), 1235814400);
  // The benchmark's own count for 4 channels of 128^3 and 4 targets has 4^3 * 512 features in front
  // of the dense layers; at 64^3 there are 2^3 * 512.
  options.preset = "cosmoflow";
  const std::int64_t convolutions = 27 * (4 * 32 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 512) +
                                    (32 + 64 + 128 + 256 + 512);
  const std::int64_t dense = 8 * 512 * 128 + 128 + 128 * 64 + 64 + 64 * 4 + 4;
  EXPECT_EQ(parameters(options, {Shape{64, 64, 64, 4}, 4}), convolutions + dense);
}

std::vector<std::string> names(const PresetOptions& options) {
  std::vector<std::string> names;
  const Lowered lowered = compiled(options, {Shape{8}, 50, true, 8});
  for (const Parameter& p : lowered.table.parameters())
    names.push_back(p.name);
  return names;
}

TEST(Presets, name_the_parameters_of_decoders) {
  PresetOptions options;
  options.blocks = 1, options.embedding = 8, options.heads = 2, options.dropout = 0.1;
  options.preset = "gpt";
  EXPECT_EQ(names(options),
            (std::vector<std::string>{
                "tokens.weight", "positions.weight", "block0.norm1.weight", "block0.norm1.bias",
                "block0.qkv.weight", "block0.qkv.bias", "block0.projection.weight",
                "block0.projection.bias", "block0.norm2.weight", "block0.norm2.bias",
                "block0.up.weight", "block0.up.bias", "block0.down.weight", "block0.down.bias",
                "norm.weight", "norm.bias"}));
  options.preset = "llama";
  options.tied = false;
  EXPECT_EQ(names(options),
            (std::vector<std::string>{"tokens.weight", "block0.norm1.weight", "block0.qkv.weight",
                                      "block0.projection.weight", "block0.norm2.weight",
                                      "block0.gate_up.weight", "block0.down.weight", "norm.weight",
                                      "output.weight"}));
}

TEST(Presets, begin_decoders_with_the_deviations_of_gpt2) {
  PresetOptions options;
  options.preset = "gpt";
  options.blocks = 8, options.embedding = 8, options.heads = 2;
  const Lowered lowered = compiled(options, {Shape{8}, 50, true, 8});
  for (const Parameter& p : lowered.table.parameters()) {
    if (p.kind != ParameterKind::kWeight) continue;
    const bool residual =
        p.name.ends_with("projection.weight") || p.name.ends_with("down.weight");
    EXPECT_EQ(p.init, Init::kNormal) << p.name;
    EXPECT_DOUBLE_EQ(p.init_scale, residual ? 0.005 : 0.02) << p.name;
  }
}

TEST(Presets, decoders_fuse_to_seven_ops_a_block) {
  PresetOptions options;
  options.preset = "gpt";
  options.blocks = 3, options.embedding = 8, options.heads = 2, options.dropout = 0.1;
  const GraphOptions task{Shape{8}, 50, true, 8};
  const Graph graph = make_graph(make_preset(options, task.sample, 50), task);
  // tokens, positions, dropout; norm1, qkv, attention, projection, norm2, up, down each; norm
  EXPECT_EQ(lower(graph, {4, {}, true}).ops.size(), 3u + 7u * 3 + 1);
}

TEST(Presets, refusals_name_the_preset_and_the_number) {
  const auto expect = [](const PresetOptions& options, const Shape& sample, const char* part) {
    try {
      make_preset(options, sample, 10);
      ADD_FAILURE() << "accepts what it should refuse: " << part;
    } catch (const UserError& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  };
  PresetOptions options;
  options.preset = "gpt";
  expect(options, Shape{8, 8}, "preset 'gpt' needs samples of token numbers");
  options.heads = 5;
  expect(options, Shape{8}, "heads = 5 must divide embedding = 384");
  options.preset = "llama";
  options.heads = 6, options.kv_heads = 4;
  expect(options, Shape{8}, "kv_heads = 4 must divide heads = 6");
  options.preset = "cosmoflow";
  expect(options, Shape{32, 31, 32, 4}, "D, H, W >= 32, not 32x31x32x4");
  expect(options, Shape{32, 32}, "not 32x32");
}

}  // namespace
}  // namespace lockstep::nn
