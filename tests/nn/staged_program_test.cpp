// Programs on a device whose memory the host does not share: what goes in and comes out is staged,
// and the bits are those of the cpu device.
#include "apart_device.h"
#include "run_program.h"

namespace lockstep::nn {
namespace {

std::vector<Case> cases() {
  Case values = {"values", {spec_of("linear"), spec_of("tanh"), spec_of("linear")}, {}};
  values.layers[0].out = 7, values.layers[2].out = 3;
  values.options.sample = Shape{5};
  values.options.microbatch = 4, values.options.outputs = 3;
  values.options.loss = ops::LossKind::kMse;
  Case classes = values;
  classes.name = "classes", classes.options.loss = ops::LossKind::kSoftmaxCrossEntropy;
  classes.options.metrics = ops::make_metrics({"accuracy"});
  return {values, classes, decoder("gpt", 0.1), decoder("llama", 0)};
}

struct Result {
  std::vector<Outcome> passes;
  ops::LaneRecord trained, evaluated;
  Floats logits;
};

// Several microbatches, each other than the one before, and only then a wait.
Result run_on(Device& device, const Case& c) {
  Program program(device, c.layers, c.options);
  Floats flat(static_cast<std::size_t>(program.table().flat_elements()));
  program.table().initialise(3, flat.data());
  program.bind(flat.data());
  program.pack();
  Result result;
  constexpr int kPasses = 7;
  result.passes.resize(kPasses);
  for (int i = 0; i < kPasses; ++i) {
    fill(c, program.input(0), program.labels(0), program.targets(0));
    program.labels(0)[0] = i % 3;
    MapSink sink(program.table(), result.passes[i]);
    program.train(0, {1, static_cast<std::uint64_t>(i), 3}, sink, result.trained);
    EXPECT_TRUE(sink.all_complete());
  }
  fill(c, program.input(0), program.labels(0), program.targets(0));
  program.evaluate(0, c.options.microbatch - 1, result.evaluated);
  program.wait(0);
  if (c.options.labels == 1) {
    const float* const logits = program.output(0);
    result.logits.assign(logits, logits + c.options.microbatch * c.options.outputs);
  }
  return result;
}

void expect_same(const ops::LaneRecord& a, const ops::LaneRecord& b) {
  EXPECT_EQ(a.sums, b.sums);
  EXPECT_EQ(a.counts, b.counts);
}

TEST(StagedProgram, has_the_bits_of_one_in_the_hosts_memory) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    ApartDevice apart;
    const Result here = run_on(cpu_device(), c), there = run_on(apart, c);
    for (std::size_t i = 0; i < here.passes.size(); ++i)
      expect_same_bits(there.passes[i], here.passes[i]);
    EXPECT_NE(here.trained.sums[0], 0);
    expect_same(there.trained, here.trained);
    expect_same(there.evaluated, here.evaluated);
    EXPECT_EQ(there.logits, here.logits);
  }
}

}  // namespace
}  // namespace lockstep::nn
