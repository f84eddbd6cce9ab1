// Programs of token models: gradients against finite differences, fused ops against the same layers
// apart, generation with a cache against the whole sequence at once.
#include <algorithm>

#include "run_program.h"
#include "support/allocation_count.h"

namespace lockstep::nn {
namespace {

double loss_of(Running& running) { return running.train().loss; }

TEST(TokenProgram, gradients_equal_finite_differences_tied_or_not) {
  for (Case c : {decoder("gpt", 0.25), decoder("llama", 0)}) {
    Running running(c);
    // Larger weights than at the start of training, where most gradients would vanish in rounding.
    for (const Parameter& p : running.program.table().parameters()) {
      if (p.shape.rank() < 2) continue;
      for (std::int64_t e = 0; e < p.elements; ++e) running.flat[p.offset + e] *= 8;
    }
    running.program.pack();
    const Outcome analytic = running.train();
    for (const Parameter& p : running.program.table().parameters()) {
      for (std::int64_t e = 1; e < p.elements; e += std::max<std::int64_t>(1, p.elements / 5)) {
        float& w = running.flat[p.offset + e];
        const float saved = w;
        double d[2];
        for (int k = 0; k < 2; ++k) {  // two widths: Richardson removes the h^2 term
          const float step = k == 0 ? 2e-2f : 1e-2f;
          double sides[2];
          for (const int side : {0, 1}) {
            w = side == 0 ? saved + step : saved - step;
            running.program.pack(running.program.table().find(p.name));
            sides[side] = loss_of(running);
          }
          d[k] = (sides[0] - sides[1]) / (2.0 * step);
        }
        w = saved;
        running.program.pack(running.program.table().find(p.name));
        const double expected = (4 * d[1] - d[0]) / 3;
        const double got = analytic.gradients.at(p.name)[e];
        EXPECT_TRUE(std::fabs(got - expected) <= 3e-3 * (1 + std::fabs(expected)))
            << c.name << " " << p.name << "[" << e << "]: " << got << " against " << expected;
      }
    }
    EXPECT_EQ(loss_of(running), analytic.loss) << "pack(p) leaves something behind";
  }
}

TEST(TokenProgram, streams_give_the_same_bits) {
  Case c = decoder("gpt", 0.25);
  c.options.streams = 2;
  Running running(c);
  const Outcome first = running.train(0);
  expect_same_bits(running.train(1), first);
  expect_same_bits(running.train(0), first);
}

TEST(TokenProgram, a_step_allocates_nothing) {
  for (const char* preset : {"gpt", "llama"}) {
    Case c = decoder(preset, 0.25);
    c.options.metrics = ops::make_metrics({"accuracy", "top5"});
    c.options.recompute = Recompute::kBlock;
    Running running(c);
    Outcome outcome = running.train();
    MapSink sink(running.program.table(), outcome);
    ops::LaneRecord record;
    fill(c, running.program.input(0), running.program.labels(0));
    const std::int64_t before = test::allocation_count();
    running.program.train(0, {1, 2, 3}, sink, record);
    running.program.pack(0);
    EXPECT_EQ(test::allocation_count(), before) << preset;
  }
}

// A linear layer with everything that may join it; the layers are apart where each is a block.
Case chain(const char* activation, bool apart) {
  LayerSpec wide = spec_of("linear", "wide"), narrow = spec_of("linear", "narrow");
  wide.out = 33, narrow.out = 9;
  LayerSpec dropout = spec_of("dropout", "d");
  dropout.rate = 0.25;
  std::vector<LayerSpec> layers{spec_of("linear", "in"),
                                wide,
                                spec_of(activation, "act"),
                                dropout,
                                narrow,
                                spec_of("dropout", "d2"),
                                spec_of("add", "sum", {"in", "d2"}),
                                spec_of("linear", "output")};
  layers[0].out = 9;
  layers[5].rate = 0.5;
  for (std::size_t i = 0; apart && i < layers.size(); ++i)
    layers[i].block = static_cast<int>(i) + 1;
  ProgramOptions options;
  options.sample = Shape{7}, options.microbatch = 31, options.outputs = 5;
  return {activation, layers, options};
}

TEST(TokenProgram, fused_layers_give_the_bits_of_the_layers_apart) {
  for (const char* activation : {"relu", "gelu", "gelu_tanh", "silu"}) {
    SCOPED_TRACE(activation);
    const Outcome fused = by_program(chain(activation, false));
    const Outcome apart = by_program(chain(activation, true));
    EXPECT_EQ(fused.loss, apart.loss);
    for (const auto& [name, values] : apart.gradients)
      EXPECT_EQ(fused.gradients.at(name), values) << name;
  }
}

// The head by blocks of rows against a plain linear layer and the loss over all its outputs, which
// a dropout of rate 0 in front of the loss keeps apart.
TEST(TokenProgram, the_fused_head_gives_the_loss_of_plain_layers) {
  const Case c = decoder("gpt", 0);
  Case apart = c;
  apart.layers.push_back(spec_of("dropout", "nothing"));
  apart.layers.back().block = 99;
  const Outcome fused = by_program(c), plain = by_program(apart);
  EXPECT_NEAR(fused.loss, plain.loss, 1e-6 * plain.loss);
  for (const auto& [name, values] : plain.gradients) {
    const Floats& got = fused.gradients.at(name);
    for (std::size_t i = 0; i < values.size(); ++i)
      EXPECT_TRUE(std::fabs(got[i] - values[i]) <= 1e-5 * (1 + std::fabs(values[i]))) << name;
  }
}

// Tokens and logits of a program for generation, fed `piece` tokens at a time.
Floats infer(const Case& trained, const Floats& flat, std::int64_t piece) {
  Case c = trained;
  c.options.cache = trained.options.sample[0];
  c.options.sample = Shape{piece};
  c.options.labels = 1;
  c.options.microbatch = 1;
  Program program(cpu_device(), c.layers, c.options);
  program.bind(flat.data());
  program.pack();
  Floats logits;
  for (std::int64_t at = 0; at < c.options.cache; at += piece) {
    for (std::int64_t i = 0; i < piece; ++i) {
      const std::int32_t id = token(trained, at + i);
      std::memcpy(program.input(0) + i, &id, sizeof id);
    }
    program.infer(0, at);
    logits.insert(logits.end(), program.output(0), program.output(0) + piece * c.options.outputs);
  }
  return logits;
}

TEST(TokenProgram, generates_with_a_cache_what_evaluation_of_the_whole_sequence_gives) {
  for (const char* preset : {"gpt", "llama"}) {
    Case c = decoder(preset, 0.25, 12, 1);  // dropout is for training alone
    c.options.metrics = ops::make_metrics({"accuracy"});
    Running running(c);
    for (float& w : running.flat) w *= 4;
    running.program.pack();
    const Floats whole = infer(c, running.flat, 12);
    // A label that is the greedy choice of the cached pass counts as right in evaluation.
    for (const std::int64_t piece : {1, 3, 4, 12}) {
      const Floats logits = infer(c, running.flat, piece);
      ASSERT_EQ(logits.size(), whole.size());
      for (std::size_t i = 0; i < whole.size(); ++i)
        EXPECT_TRUE(std::fabs(logits[i] - whole[i]) <= 1e-4 * (1 + std::fabs(whole[i]))) << piece;
      fill(c, running.program.input(0), running.program.labels(0));
      double loss = 0;
      for (std::int64_t t = 0; t < 12; ++t) {
        const float* row = logits.data() + t * c.options.outputs;
        const float* best = std::max_element(row, row + c.options.outputs);
        running.program.labels(0)[t] = static_cast<std::int32_t>(best - row);
        double sum = 0;
        for (int j = 0; j < c.options.outputs; ++j) sum += std::exp(double{row[j]} - *best);
        loss += std::log(sum);
      }
      ops::LaneRecord record;
      running.program.evaluate(0, 1, record);
      EXPECT_EQ(ops::value(c.options.metrics[0], record), 1) << preset << " " << piece;
      EXPECT_NEAR(record.sums[0], loss, 1e-4 * loss);
    }
  }
}

TEST(TokenProgram, inference_keeps_keys_and_values_and_no_gradients) {
  Case c = decoder("llama", 0, 16, 1);
  const std::size_t training = Running(c).bytes("activations");
  EXPECT_EQ(Running(c).bytes("keys and values"), 0u);
  c.options.cache = 16, c.options.labels = 1;
  EXPECT_LT(Running(c).bytes("activations"), training / 2);
  EXPECT_GE(Running(c).bytes("keys and values"), 3u * 2 * 16 * 2 * 4 * sizeof(float));
}

TEST(TokenProgram, evaluation_masks_padding) {
  const Case c = decoder("gpt", 0);
  Running running(c);
  const auto evaluate = [&](std::int64_t valid) {
    fill(c, running.program.input(0), running.program.labels(0));
    ops::LaneRecord record;
    running.program.evaluate(0, valid, record);
    return record;
  };
  const ops::LaneRecord all = evaluate(3), two = evaluate(2);
  EXPECT_EQ(two.counts[0], 2 * 7);
  EXPECT_EQ(all.counts[0], 3 * 7 - 1);  // one label is -1
  EXPECT_LT(two.sums[0], all.sums[0]);
}

}  // namespace
}  // namespace lockstep::nn
