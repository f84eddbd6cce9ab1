// Ops that take turns slice by slice in shared memory give the bits of the same ops run whole, one
// after the other, each tensor in memory of its own.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "lockstep/core/philox.h"
#include "lockstep/nn/program.h"
#include "nn/graph.h"
#include "nn/layout.h"
#include "nn/lower.h"
#include "nn/schedule.h"

namespace lockstep::nn {
namespace {

using Floats = std::vector<float>;

struct Case {
  std::string name;
  std::vector<LayerSpec> layers;
  std::int64_t microbatch;
  Shape sample;
};

LayerSpec layer(const char* kind, const char* name, std::vector<std::string> inputs) {
  LayerSpec spec;
  spec.kind = kind;
  spec.name = name;
  spec.inputs = std::move(inputs);
  return spec;
}

LayerSpec conv(std::int64_t out, std::int64_t kernel, const char* name, const char* input,
               bool bias = false) {
  LayerSpec spec = layer("conv", name, {input});
  spec.out = out;
  spec.kernel = {kernel, kernel};
  spec.padding = {kernel / 2};
  spec.bias = bias;
  return spec;
}

// Two readers of one value next to each other, so that a sum of gradients is made within a sweep; a
// convolution with bias, which only runs whole, between norms; a norm that adds a residual.
std::vector<LayerSpec> forked() {
  LayerSpec output = layer("linear", "output", {"pool"});
  output.out = 0;
  return {conv(16, 3, "c0", "input"),
          layer("batch_norm", "b0", {"c0"}),
          layer("relu", "r0", {"b0"}),
          conv(16, 1, "c1", "r0"),
          conv(16, 3, "c2", "r0"),
          layer("batch_norm", "b1", {"c1"}),
          layer("batch_norm", "b2", {"c2"}),
          layer("add", "a", {"b2", "b1"}),
          layer("relu", "r2", {"a"}),
          conv(16, 3, "c3", "r2", true),
          layer("batch_norm", "b3", {"c3"}),
          layer("add", "a3", {"b3", "r2"}),
          layer("global_average_pool", "pool", {"a3"}),
          output};
}

std::vector<Case> cases() {
  PresetOptions resnet;
  resnet.preset = "resnet20";
  const Shape image{32, 32, 3};
  return {{"resnet20", make_preset(resnet, image, 10), 32, image},
          {"resnet20_uneven", make_preset(resnet, Shape{24, 20, 1}, 10), 30, Shape{24, 20, 1}},
          {"forked", forked(), 48, Shape{24, 24, 3}}};
}

void fill(const Case& c, float* input, std::int32_t* labels) {
  const NamedStream random(5, c.name);
  for (std::int64_t i = 0; i < c.microbatch * c.sample.elements(); ++i)
    input[i] = static_cast<float>(random.normal(i));
  for (std::int64_t i = 0; i < c.microbatch; ++i) labels[i] = static_cast<std::int32_t>(i % 10);
}

// What a lane contributes: gradients, lane statistics and loss.
struct Outcome {
  std::map<std::string, Floats> gradients;
  double loss = 0;
};

class MapSink : public GradientSink {
 public:
  MapSink(const ParameterTable& table, Outcome& outcome) : table_(table), outcome_(outcome) {}
  float* address(int p) override {
    EXPECT_TRUE(open_end_ < 0 || p < open_end_) << "an address of another op's parameters";
    Floats& g = outcome_.gradients[table_[p].name];
    if (g.empty()) g.assign(static_cast<std::size_t>(table_[p].elements), NAN);
    return g.data();
  }
  void complete(int first, int /*end*/) override { open_end_ = first; }

 private:
  const ParameterTable& table_;
  Outcome& outcome_;
  int open_end_ = -1;
};

Outcome by_program(const Case& c) {
  ProgramOptions options;
  options.sample = c.sample, options.microbatch = c.microbatch, options.outputs = 10;
  Program program(cpu_device(), c.layers, options);
  Floats flat(static_cast<std::size_t>(program.table().flat_elements()));
  program.table().initialise(3, flat.data());
  program.bind(flat.data());
  program.pack();
  Outcome outcome;
  for (int repeat = 0; repeat < 2; ++repeat) {  // the second finds what the first left in memory
    outcome = {};
    fill(c, program.input(0), program.labels(0));
    ops::LaneRecord record;
    MapSink sink(program.table(), outcome);
    program.train(0, {1, 2, 3}, sink, record);
    outcome.loss = record.sums[0];
  }
  return outcome;
}

// The plain reading of the op contract.
class OneByOne {
 public:
  explicit OneByOne(const Case& c)
      : graph_(make_graph(c.layers, {c.sample, 10})),
        lowered_(lower(graph_, {c.microbatch})),
        microbatch_(c.microbatch),
        flat_(static_cast<std::size_t>(lowered_.table.flat_elements())),
        labels_(static_cast<std::size_t>(c.microbatch)) {
    lowered_.table.initialise(3, flat_.data());
    for (std::size_t v = 0; v < graph_.values.size(); ++v)
      values_.emplace_back(elements(static_cast<int>(v)), NAN), gradients_.emplace_back();
    fill(c, values_[0].data(), labels_.data());
  }

  Outcome run() {
    for (const OpSpec& spec : lowered_.ops) forward(spec);
    ops::LossArgs loss;
    loss.samples = loss.valid = microbatch_, loss.width = 10;
    loss.outputs = values_[graph_.output].data(), loss.labels = labels_.data();
    gradients_[graph_.output].assign(values_[graph_.output].size(), NAN);
    loss.d_outputs = gradients_[graph_.output].data();
    ops::LaneRecord record;
    ops::compute_loss(ops::LossKind::kSoftmaxCrossEntropy, loss, record);
    for (std::size_t i = lowered_.ops.size(); i-- > 0;) backward(lowered_.ops[i], bound_[i]);
    outcome_.loss = record.sums[0];
    return outcome_;
  }

 private:
  struct Bound {
    std::unique_ptr<ops::Op> op;
    Floats saved, packed;
    std::vector<const float*> inputs, parameters;
    std::vector<float*> lane_statistics;
  };
  std::size_t elements(int value) const {
    return static_cast<std::size_t>(microbatch_ * graph_.values[value].sample.elements());
  }
  static void* aligned(Floats& memory) {
    return reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(memory.data()) + 63) / 64 *
                                   64);
  }
  float* result(int parameter) {
    const Parameter& p = lowered_.table[parameter];
    Floats& g = outcome_.gradients[p.name];
    if (g.empty()) g.assign(static_cast<std::size_t>(p.elements), NAN);
    return g.data();
  }

  void forward(const OpSpec& spec) {
    Bound b{make_op(cpu_device(), spec.description), {}, {}, {}, {}, {}};
    b.saved.assign(b.op->saved_bytes() / 4 + 17, NAN);
    b.packed.assign(b.op->packed_bytes() / 4 + 17, NAN);
    for (const int v : spec.inputs) b.inputs.push_back(values_[lowered_.alias[v]].data());
    for (const int p : spec.parameters)
      b.parameters.push_back(flat_.data() + lowered_.table[p].offset);
    for (const int p : spec.statistics) b.lane_statistics.push_back(result(p));
    b.op->pack(b.parameters.data(), aligned(b.packed));
    ops::Args args = common(b, spec);
    Floats workspace(b.op->workspace_bytes() / 4 + 17, NAN);
    args.workspace = aligned(workspace);
    b.op->forward(args);
    bound_.push_back(std::move(b));
  }

  ops::Args common(Bound& b, const OpSpec& spec) {
    ops::Args args;
    args.inputs = b.inputs.data(), args.output = values_[spec.output].data();
    args.parameters = b.parameters.data(), args.lane_statistics = b.lane_statistics.data();
    args.saved = aligned(b.saved), args.packed = aligned(b.packed);
    args.random = {1, 2, 3, spec.random};
    return args;
  }

  void backward(const OpSpec& spec, Bound& b) {
    ops::Args args = common(b, spec);
    Floats workspace(b.op->workspace_bytes() / 4 + 17, NAN);
    args.workspace = aligned(workspace);
    args.d_output = gradients_[spec.output].data();
    std::vector<Floats> written(spec.inputs.size());
    std::vector<float*> d_inputs(spec.inputs.size(), nullptr), d_parameters;
    for (std::size_t k = 0; k < spec.inputs.size(); ++k) {
      if (!lowered_.needs_gradient[lowered_.alias[spec.inputs[k]]]) continue;
      written[k].assign(elements(spec.inputs[k]), NAN);
      d_inputs[k] = written[k].data();
    }
    for (const int p : spec.parameters) d_parameters.push_back(result(p));
    args.d_inputs = d_inputs.data(), args.d_parameters = d_parameters.data();
    b.op->backward(args);
    for (std::size_t k = 0; k < spec.inputs.size(); ++k) {
      Floats& sum = gradients_[lowered_.alias[spec.inputs[k]]];
      if (sum.empty()) {
        sum = written[k];
      } else {
        for (std::size_t i = 0; i < written[k].size(); ++i) sum[i] += written[k][i];
      }
    }
  }

  Graph graph_;
  Lowered lowered_;
  const std::int64_t microbatch_;
  Floats flat_;
  std::vector<std::int32_t> labels_;
  std::vector<Floats> values_, gradients_;
  std::vector<Bound> bound_;
  Outcome outcome_;
};

class SweepsCase : public ::testing::TestWithParam<int> {};

TEST_P(SweepsCase, give_the_bits_of_ops_run_whole_in_memory_of_their_own) {
  const Case c = cases()[GetParam()];
  const Outcome expected = OneByOne(c).run(), got = by_program(c);
  EXPECT_EQ(got.loss, expected.loss);
  ASSERT_EQ(got.gradients.size(), expected.gradients.size());
  for (const auto& [name, values] : expected.gradients) EXPECT_EQ(got.gradients.at(name), values);
}

INSTANTIATE_TEST_SUITE_P(All, SweepsCase, ::testing::Range(0, 3),
                         [](const auto& info) { return cases()[info.param].name; });

struct Compiled {
  Graph graph;
  Lowered lowered;
  std::vector<std::unique_ptr<ops::Op>> ops;
  Repeats repeats;
  Schedule schedule;
  explicit Compiled(const Case& c)
      : graph(make_graph(c.layers, {c.sample, 10})), lowered(lower(graph, {c.microbatch})) {
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
      {c.graph, c.lowered, c.ops, c.repeats, c.schedule, resnet.microbatch});
  std::size_t in_slices = 0;
  for (std::size_t i = 0; i < c.ops.size(); ++i) {
    EXPECT_FALSE(layout.one_slice[layout.ops[i].forward.output]) << "backward reads " << i;
    if (layout.ops[i].d_output >= 0 && layout.one_slice[layout.ops[i].d_output]) ++in_slices;
  }
  EXPECT_GT(in_slices, 10u);
}

}  // namespace
}  // namespace lockstep::nn
