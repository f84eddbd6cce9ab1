// Whole programs: gradients of every parameter against finite differences of the loss, and the same
// bits in an arena of reused memory as in one where nothing is reused.
#include "lockstep/nn/program.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lockstep/core/philox.h"

namespace lockstep::nn {
namespace {

// Gathers gradients in a buffer with the layout of the table; checks the order of completion.
class CollectSink : public GradientSink {
 public:
  explicit CollectSink(const ParameterTable& table)
      : table_(table),
        flat(static_cast<std::size_t>(table.flat_elements()), NAN),
        next_end_(table.size()) {}
  float* address(int p) override { return flat.data() + table_[p].offset; }
  void complete(int first, int end) override {
    EXPECT_EQ(end, next_end_);
    next_end_ = first;
  }
  bool all_complete() const { return next_end_ == 0; }

 private:
  const ParameterTable& table_;

 public:
  std::vector<float> flat;

 private:
  int next_end_;
};

struct Case {
  std::string name;
  std::vector<LayerSpec> layers;
  Shape sample;
  ops::LossKind loss = ops::LossKind::kSoftmaxCrossEntropy;
};

LayerSpec layer(const char* kind, std::vector<std::string> inputs = {}, const char* name = "") {
  LayerSpec spec;
  spec.kind = kind;
  spec.inputs = std::move(inputs);
  spec.name = name;
  return spec;
}
LayerSpec conv(std::int64_t out, std::vector<std::int64_t> kernel, std::int64_t stride,
               std::int64_t padding, std::int64_t groups = 1, bool bias = true) {
  LayerSpec spec = layer("conv");
  spec.out = out;
  spec.kernel = std::move(kernel);
  spec.stride = {stride};
  spec.padding = {padding};
  spec.groups = groups;
  spec.bias = bias;
  return spec;
}
LayerSpec linear(std::int64_t out) {
  LayerSpec spec = layer("linear");
  spec.out = out;
  return spec;
}
LayerSpec pool(const char* kind, std::int64_t kernel) {
  LayerSpec spec = layer(kind);
  spec.kernel = {kernel};
  return spec;
}
LayerSpec named(LayerSpec spec, const char* name, std::vector<std::string> inputs = {}) {
  spec.name = name;
  spec.inputs = std::move(inputs);
  return spec;
}
LayerSpec dropout(double rate) {
  LayerSpec spec = layer("dropout");
  spec.rate = rate;
  return spec;
}

std::vector<Case> cases() {
  return {
      {"mlp",
       {linear(7), layer("tanh"), dropout(0.3), linear(5), layer("gelu"), linear(3)},
       Shape{11}},
      {"norms",
       {linear(9), layer("layer_norm"), layer("silu"), linear(8), layer("rms_norm"),
        layer("gelu_tanh"), linear(3)},
       Shape{6}},
      {"conv2d",
       {conv(4, {3, 3}, 1, 1), layer("sigmoid"), pool("average_pool", 2), conv(6, {3, 3}, 2, 1, 2),
        layer("silu"), layer("flatten"), linear(3)},
       Shape{8, 6}},
      {"conv1d",
       {conv(4, {3}, 1, 1), layer("tanh"), layer("global_average_pool"), linear(3)},
       Shape{9, 2}},
      {"conv3d",
       {conv(3, {3}, 1, 1), layer("tanh"), pool("average_pool", 2), layer("flatten"), linear(3)},
       Shape{4, 4, 4, 2}},
      {"residual",
       {named(conv(4, {3, 3}, 1, 1), "c1"), named(layer("batch_norm"), "b1", {"c1"}),
        named(layer("tanh"), "t", {"b1"}), named(conv(4, {3, 3}, 1, 1, 1, false), "c2", {"t"}),
        named(layer("batch_norm"), "b2", {"c2"}), named(layer("add"), "s", {"b2", "t"}),
        named(layer("sigmoid"), "g", {"s"}), named(layer("add"), "s2", {"g", "t"}),
        layer("global_average_pool"), linear(3)},
       Shape{5, 5, 2}},
      {"regression", {linear(6), layer("tanh"), linear(3)}, Shape{4}, ops::LossKind::kMse},
      {"binary",
       {linear(6), layer("tanh"), linear(3)},
       Shape{4},
       ops::LossKind::kBinaryCrossEntropy},
  };
}

class ProgramCase : public ::testing::TestWithParam<int> {};

TEST_P(ProgramCase, gradients_equal_finite_differences) {
  const Case c = cases()[GetParam()];
  ProgramOptions options;
  options.sample = c.sample;
  options.microbatch = 4;
  options.outputs = 3;
  options.loss = c.loss;
  Program program(cpu_device(), c.layers, options);
  const ParameterTable& table = program.table();
  std::vector<float> flat(static_cast<std::size_t>(table.flat_elements()));
  table.initialise(3, flat.data());
  program.bind(flat.data());
  const NamedStream random(5, c.name);
  const std::int64_t inputs = options.microbatch * c.sample.elements();
  const RandomKey key{1, 2, 3};
  // Memory of inputs may be reused after forward, so they are filled each time.
  std::vector<float> gradient;
  const auto loss = [&]() {
    for (std::int64_t i = 0; i < inputs; ++i)
      program.input(0)[i] = static_cast<float>(random.normal(i));
    for (int i = 0; i < 4; ++i) program.labels(0)[i] = i % 3;
    for (int i = 0; i < 12; ++i)
      program.targets(0)[i] = static_cast<float>(random.uniform(900 + i));
    program.pack();
    ops::LaneRecord record;
    CollectSink sink(table);
    program.train(0, key, sink, record);
    EXPECT_TRUE(sink.all_complete());
    gradient = sink.flat;
    return record.sums[0];
  };
  loss();
  const std::vector<float> analytic = gradient;
  for (const Parameter& p : table.parameters()) {
    if (p.kind == ParameterKind::kStatistic) continue;
    for (std::int64_t e = 0; e < p.elements; e += std::max<std::int64_t>(1, p.elements / 5)) {
      float& w = flat[static_cast<std::size_t>(p.offset + e)];
      const float saved = w;
      const float h = 2e-2f;
      double d[2];
      for (int k = 0; k < 2; ++k) {  // two widths: Richardson removes the h^2 term
        const float step = k == 0 ? h : h / 2;
        w = saved + step;
        const double up = loss();
        w = saved - step;
        const double down = loss();
        w = saved;
        d[k] = (up - down) / (2.0 * step);
      }
      const double expected = (4 * d[1] - d[0]) / 3;
      const double got = analytic[static_cast<std::size_t>(p.offset + e)];
      EXPECT_TRUE(std::fabs(got - expected) <= 2e-3 * (1 + std::fabs(expected)))
          << c.name << " " << p.name << "[" << e << "]: " << got << " against " << expected;
    }
  }
}

TEST_P(ProgramCase, streams_give_the_same_bits) {
  const Case c = cases()[GetParam()];
  ProgramOptions options;
  options.sample = c.sample;
  options.microbatch = 4;
  options.outputs = 3;
  options.loss = c.loss;
  options.streams = 2;
  Program program(cpu_device(), c.layers, options);
  std::vector<float> flat(static_cast<std::size_t>(program.table().flat_elements()));
  program.table().initialise(3, flat.data());
  program.bind(flat.data());
  program.pack();
  const NamedStream random(5, c.name);
  std::vector<std::vector<float>> gradients;
  for (const int stream : {0, 1, 1}) {
    for (std::int64_t i = 0; i < 4 * c.sample.elements(); ++i)
      program.input(stream)[i] = static_cast<float>(random.normal(i));
    for (int i = 0; i < 4; ++i) program.labels(stream)[i] = i % 3;
    for (int i = 0; i < 12; ++i)
      program.targets(stream)[i] = static_cast<float>(random.uniform(900 + i));
    ops::LaneRecord record;
    CollectSink sink(program.table());
    program.train(stream, {1, 2, 3}, sink, record);
    for (const Parameter& p : program.table().parameters())
      for (std::int64_t e = p.elements; e % kGranule != 0; ++e) sink.flat[p.offset + e] = 0;
    gradients.push_back(sink.flat);
  }
  EXPECT_EQ(gradients[0], gradients[1]);
  EXPECT_EQ(gradients[1], gradients[2]);
}

INSTANTIATE_TEST_SUITE_P(All, ProgramCase, ::testing::Range(0, 8),
                         [](const auto& info) { return cases()[info.param].name; });

}  // namespace
}  // namespace lockstep::nn
