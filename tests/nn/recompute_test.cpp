// Blocks whose activations are computed twice: the same bits in less memory.
#include "nn/recompute.h"

#include "one_by_one.h"
#include "residual_case.h"
#include "run_program.h"

namespace lockstep::nn {
namespace {

std::vector<Case> cases() {
  PresetOptions resnet;
  resnet.preset = "resnet20";
  ProgramOptions images;
  images.sample = Shape{16, 16, 3}, images.microbatch = 16, images.outputs = 10;
  Case gpt = decoder("gpt", 0.25, 31, 4);
  Case bf16 = gpt;
  bf16.name = "gpt_bf16", bf16.options.precision = ops::Precision::kBf16;
  return {gpt,
          bf16,
          decoder("llama", 0.125, 33, 4),
          residual(),
          {"resnet20", make_preset(resnet, images.sample, 10), images}};
}

Case with_blocks(Case c) {
  c.options.recompute = Recompute::kBlock;
  return c;
}

class RecomputeCase : public ::testing::TestWithParam<int> {};

TEST_P(RecomputeCase, gives_the_same_bits_in_less_memory) {
  const Case c = cases()[GetParam()];
  expect_same_bits(by_program(with_blocks(c)), OneByOne(c).run());
  EXPECT_LT(Running(with_blocks(c)).bytes("activations"), Running(c).bytes("activations"));
}

TEST_P(RecomputeCase, evaluates_to_the_same_loss) {
  const Case c = cases()[GetParam()];
  double losses[2];
  for (const bool blocks : {false, true}) {
    Running running(blocks ? with_blocks(c) : c);
    running.train();
    fill(c, running.program.input(0), running.program.labels(0));
    ops::LaneRecord record;
    running.program.evaluate(0, c.options.microbatch, record);
    losses[blocks] = record.sums[0];
  }
  EXPECT_EQ(losses[0], losses[1]);
}

INSTANTIATE_TEST_SUITE_P(All, RecomputeCase, ::testing::Range(0, 5),
                         [](const auto& info) { return cases()[info.param].name; });

std::vector<std::string> repeated(const Case& c) {
  const Graph graph = make_graph(c.layers, graph_options(c.options));
  const Lowered lowered = lower(graph, {c.options.microbatch, {}, c.options.labels > 1});
  std::vector<std::unique_ptr<ops::Op>> ops;
  for (const OpSpec& spec : lowered.ops) ops.push_back(make_op(cpu_device(), spec.description));
  const Repeats repeats = find_repeats(lowered, ops, Recompute::kBlock);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (repeats.again[i]) names.push_back(lowered.ops[i].layer);
  }
  return names;
}

TEST(Recompute, repeats_what_backward_reads_but_neither_the_last_block_nor_a_blocks_output) {
  EXPECT_EQ(repeated(decoder("gpt", 0)),
            (std::vector<std::string>{"block0.norm1", "block0.qkv", "block0.attention",
                                      "block0.projection", "block0.norm2", "block0.up",
                                      "block1.norm1", "block1.qkv", "block1.attention",
                                      "block1.projection", "block1.norm2", "block1.up"}));
  // a1 = b2 + stem is read by other blocks; d reads t, which has no block.
  EXPECT_EQ(repeated(residual()), (std::vector<std::string>{"c1", "b1", "c2", "d", "c2.5", "u1",
                                                            "u2", "u3", "c3", "b3", "s3"}));
}

// Chen et al. 2016: what lives is the input of each block and all of one block, so that a further
// block costs its input alone.
TEST(Recompute, a_further_block_costs_one_activation) {
  const auto bytes = [](std::int64_t blocks, Recompute recompute) {
    PresetOptions options;
    options.preset = "gpt";
    options.blocks = blocks, options.embedding = 32, options.heads = 4, options.tied = false;
    ProgramOptions program = token_options(64, 17, 2);
    program.recompute = recompute;
    return Running({"gpt", make_preset(options, program.sample, 17), program}).bytes("activations");
  };
  const std::size_t activation = 2 * 64 * 32 * sizeof(float);
  EXPECT_EQ(bytes(9, Recompute::kBlock) - bytes(8, Recompute::kBlock), activation);
  EXPECT_GE(bytes(9, Recompute::kNone) - bytes(8, Recompute::kNone), 16 * activation);
}

}  // namespace
}  // namespace lockstep::nn
