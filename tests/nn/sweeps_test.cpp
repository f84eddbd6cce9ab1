// Ops that take turns slice by slice in shared memory give the bits of the same ops run whole, one
// after the other, each tensor in memory of its own.
#include "nn/graph.h"
#include "nn/layout.h"
#include "nn/lower.h"
#include "nn/schedule.h"
#include "one_by_one.h"
#include "run_program.h"

namespace lockstep::nn {
namespace {

LayerSpec conv(std::int64_t out, std::int64_t kernel, const char* name, const char* input,
               bool bias = false) {
  LayerSpec spec = spec_of("conv", name, {input});
  spec.out = out;
  spec.kernel = {kernel, kernel};
  spec.padding = {kernel / 2};
  spec.bias = bias;
  return spec;
}

// Two readers of one value next to each other, so that a sum of gradients is made within a sweep; a
// convolution with bias, which only runs whole, between norms; a norm that adds a residual.
std::vector<LayerSpec> forked() {
  LayerSpec output = spec_of("linear", "output", {"pool"});
  output.out = 0;
  return {conv(16, 3, "c0", "input"),
          spec_of("batch_norm", "b0", {"c0"}),
          spec_of("relu", "r0", {"b0"}),
          conv(16, 1, "c1", "r0"),
          conv(16, 3, "c2", "r0"),
          spec_of("batch_norm", "b1", {"c1"}),
          spec_of("batch_norm", "b2", {"c2"}),
          spec_of("add", "a", {"b2", "b1"}),
          spec_of("relu", "r2", {"a"}),
          conv(16, 3, "c3", "r2", true),
          spec_of("batch_norm", "b3", {"c3"}),
          spec_of("add", "a3", {"b3", "r2"}),
          spec_of("global_average_pool", "pool", {"a3"}),
          output};
}

ProgramOptions images(const Shape& sample, std::int64_t microbatch) {
  ProgramOptions options;
  options.sample = sample, options.microbatch = microbatch, options.outputs = 10;
  return options;
}

std::vector<Case> cases() {
  PresetOptions resnet;
  resnet.preset = "resnet20";
  const Shape image{32, 32, 3}, uneven{24, 20, 1};
  Case bf16 = decoder("gpt", 0.25, 33, 4);
  bf16.name = "gpt_bf16", bf16.options.precision = ops::Precision::kBf16;
  return {{"resnet20", make_preset(resnet, image, 10), images(image, 32)},
          {"resnet20_uneven", make_preset(resnet, uneven, 10), images(uneven, 30)},
          {"forked", forked(), images(Shape{24, 24, 3}, 48)},
          decoder("gpt", 0.25, 31, 4),
          decoder("llama", 0, 32, 6),
          bf16};
}

class SweepsCase : public ::testing::TestWithParam<int> {};

TEST_P(SweepsCase, give_the_bits_of_ops_run_whole_in_memory_of_their_own) {
  const Case c = cases()[GetParam()];
  expect_same_bits(by_program(c), OneByOne(c).run());
}

INSTANTIATE_TEST_SUITE_P(All, SweepsCase, ::testing::Range(0, 6),
                         [](const auto& info) { return cases()[info.param].name; });

struct Compiled {
  Graph graph;
  Lowered lowered;
  std::vector<std::unique_ptr<ops::Op>> ops;
  Repeats repeats;
  Schedule schedule;
  explicit Compiled(const Case& c)
      : graph(make_graph(c.layers, graph_options(c.options))),
        lowered(lower(graph, {c.options.microbatch})) {
    for (const OpSpec& spec : lowered.ops) ops.push_back(make_op(cpu_device(), spec.description));
    repeats = find_repeats(lowered, ops, Recompute::kNone);
    schedule = make_schedule(lowered, ops, repeats.again);
  }
};

TEST(Sweeps, chain_norms_and_convolutions_and_run_every_part_once_in_order) {
  const Compiled c(cases()[0]);
  for (const auto* sweeps : {&c.schedule.forward, &c.schedule.backward}) {
    std::vector<int> order, gathered(c.ops.size(), 0);
    std::size_t chained = 0;
    for (const Sweep& sweep : *sweeps) {
      ASSERT_FALSE(sweep.stages.empty());
      chained += sweep.slices > 1 ? sweep.stages.size() : 0;
      for (const auto [i, part] : sweep.stages) {
        if (part == Part::kGather) {
          EXPECT_EQ(i, sweep.stages.back().op) << "nothing follows a gather";
          gathered[i] = 1;
          continue;
        }
        EXPECT_EQ(part == Part::kWhole, c.ops[i]->slices() == 1);
        EXPECT_EQ(part == Part::kSlice && c.ops[i]->gathers(), gathered[i] == 1);
        EXPECT_EQ(c.ops[i]->slices() % sweep.slices, 0);
        order.push_back(i);
      }
    }
    EXPECT_GT(chained, 40u);
    ASSERT_EQ(order.size(), c.ops.size());
    for (std::size_t k = 0; k < order.size(); ++k) {
      const bool forward = sweeps == &c.schedule.forward;
      EXPECT_EQ(order[k], static_cast<int>(forward ? k : c.ops.size() - 1 - k));
    }
  }
}

TEST(Sweeps, keep_one_slice_of_a_gradient_that_lives_in_one_sweep) {
  const Case resnet = cases()[0];
  const Compiled c(resnet);
  const Layout layout = make_layout(
      {c.graph, c.lowered, c.ops, c.repeats, c.schedule, resnet.options.microbatch});
  std::size_t in_slices = 0;
  for (std::size_t i = 0; i < c.ops.size(); ++i) {
    EXPECT_FALSE(layout.one_slice[layout.ops[i].forward.output]) << "backward reads " << i;
    if (layout.ops[i].d_output >= 0 && layout.one_slice[layout.ops[i].d_output]) ++in_slices;
  }
  EXPECT_GT(in_slices, 10u);
}

}  // namespace
}  // namespace lockstep::nn
