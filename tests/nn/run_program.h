// One microbatch through a program: a model with its options, what goes in, what comes out.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "lockstep/core/philox.h"
#include "lockstep/nn/program.h"

namespace lockstep::nn {

using Floats = std::vector<float>;

struct Case {
  std::string name;
  std::vector<LayerSpec> layers;
  ProgramOptions options;
};

inline LayerSpec spec_of(const char* kind, const char* name = "",
                         std::vector<std::string> inputs = {}) {
  LayerSpec spec;
  spec.kind = kind;
  spec.name = name;
  spec.inputs = std::move(inputs);
  return spec;
}

// A decoder with every kind of layer of its preset, small enough for finite differences.
inline Case decoder(const std::string& preset, double dropout, std::int64_t tokens = 7,
                    std::int64_t microbatch = 3) {
  PresetOptions options;
  options.preset = preset;
  options.blocks = 3, options.embedding = 16, options.heads = 4, options.kv_heads = 2;
  options.feed_forward = 24, options.dropout = dropout;
  const ProgramOptions program = token_options(tokens, 13, microbatch);
  return {preset, make_preset(options, program.sample, program.outputs), program};
}

inline std::int32_t token(const Case& c, std::int64_t i) {
  return static_cast<std::int32_t>((i * 31 + i * i) % c.options.outputs);
}

// 0 everywhere is a label as good as another; the last of a longer list is ignored.
inline void fill(const Case& c, float* input, std::int32_t* labels, float* targets = nullptr) {
  const NamedStream random(5, c.name);
  const ProgramOptions& o = c.options;
  for (std::int64_t i = 0; i < o.microbatch * o.sample.elements(); ++i) {
    const auto value = static_cast<float>(random.normal(i));
    const std::int32_t id = token(c, i);
    std::memcpy(input + i, o.tokens ? static_cast<const void*>(&id) : &value, sizeof(float));
  }
  const std::int64_t count = o.microbatch * o.labels;
  for (std::int64_t i = 0; i < count; ++i)
    labels[i] = static_cast<std::int32_t>(i * 7 % o.outputs);
  if (o.labels > 1) labels[count - 2] = -1;
  for (std::int64_t i = 0; targets != nullptr && i < o.microbatch * o.outputs; ++i)
    targets[i] = static_cast<float>(random.uniform(900 + i));
}

// What a lane contributes: gradients, lane statistics and loss.
struct Outcome {
  std::map<std::string, Floats> gradients;
  double loss = 0;
};

inline void expect_same_bits(const Outcome& got, const Outcome& expected) {
  EXPECT_EQ(got.loss, expected.loss);
  ASSERT_EQ(got.gradients.size(), expected.gradients.size());
  for (const auto& [name, values] : expected.gradients) {
    for (const float x : values) ASSERT_FALSE(std::isnan(x)) << name;
    EXPECT_EQ(got.gradients.at(name), values) << name;
  }
}

class MapSink : public GradientSink {
 public:
  MapSink(const ParameterTable& table, Outcome& outcome)
      : table_(table), outcome_(outcome), next_end_(table.size()) {}
  float* address(int p) override {
    EXPECT_TRUE(p < next_end_) << "an address of another op's parameters";
    Floats& g = outcome_.gradients[table_[p].name];
    if (g.empty()) g.assign(static_cast<std::size_t>(table_[p].elements), NAN);
    return g.data();
  }
  void complete(int first, int end) override {
    EXPECT_EQ(end, next_end_);
    next_end_ = first;
  }
  bool all_complete() const { return next_end_ == 0; }

 private:
  const ParameterTable& table_;
  Outcome& outcome_;
  int next_end_;
};

// A program with parameters of its own, initialised from seed 3.
struct Running {
  explicit Running(const Case& c)
      : model(c),
        program(cpu_device(), c.layers, c.options),
        flat(static_cast<std::size_t>(program.table().flat_elements())) {
    program.table().initialise(3, flat.data());
    program.bind(flat.data());
    program.pack();
  }
  Outcome train(int stream = 0) {
    Outcome outcome;
    fill(model, program.input(stream), program.labels(stream), program.targets(stream));
    ops::LaneRecord record;
    MapSink sink(program.table(), outcome);
    program.train(stream, {1, 2, 3}, sink, record);
    EXPECT_TRUE(sink.all_complete());
    outcome.loss = record.sums[0];
    return outcome;
  }
  std::size_t bytes(const std::string& row) const {
    for (const LedgerRow& r : program.ledger()) {
      if (r.name == row) return r.bytes;
    }
    return 0;
  }

  const Case model;
  Program program;
  Floats flat;
};

// The second pass finds what the first left in memory.
inline Outcome by_program(const Case& c) {
  Running running(c);
  running.train();
  return running.train();
}

}  // namespace lockstep::nn
