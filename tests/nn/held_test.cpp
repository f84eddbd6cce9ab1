// Programs that hold parameters for a use at a time: the bits of those that have them all the time,
// for one stream and for several that share what is held.
#include "apart_device.h"
#include "lockstep/core/error.h"
#include "poisoned_source.h"
#include "residual_case.h"
#include "support/allocation_count.h"

namespace lockstep::nn {
namespace {

constexpr int kStreams = 3;

Case preset(const char* name, const Shape& sample, std::int64_t microbatch) {
  PresetOptions options;
  options.preset = name;
  options.hidden = {40, 24}, options.dropout = 0.25;
  ProgramOptions program;
  program.sample = sample, program.microbatch = microbatch, program.outputs = 10;
  return {name, make_preset(options, sample, 10), program};
}

Case mlp() {
  Case c = preset("mlp", Shape{17}, 6);
  c.options.metrics = ops::make_metrics({"accuracy"});
  return c;
}

// Products of 512 rows and more read the weight as it is.
Case wide() {
  Case c = preset("mlp", Shape{9}, 600);
  c.name = "wide";
  return c;
}

Case blocks(Case c) {
  c.name += "_blocks", c.options.recompute = Recompute::kBlock;
  return c;
}

std::vector<Case> cases() {
  Case bf16 = decoder("gpt", 0.25, 31, 4);
  bf16.name = "gpt_bf16", bf16.options.precision = ops::Precision::kBf16;
  const Case resnet = preset("resnet20", Shape{16, 16, 3}, 16);
  return {mlp(),
          wide(),
          preset("lenet", Shape{28, 28, 1}, 4),
          resnet,
          blocks(resnet),
          residual(),
          blocks(residual()),
          decoder("gpt", 0.25),
          blocks(decoder("gpt", 0.25, 31, 4)),
          bf16,
          blocks(bf16),
          decoder("llama", 0.125),
          blocks(decoder("llama", 0))};
}

// As after some training: no parameter is 0 or 1, and no two statistics are equal.
Floats parameters_of(const ParameterTable& table) {
  Floats flat(static_cast<std::size_t>(table.flat_elements()));
  table.initialise(3, flat.data());
  const NamedStream random(8, "training");
  for (std::size_t e = 0; e < flat.size(); ++e)
    flat[e] += 0.25f * static_cast<float>(random.uniform(e));
  return flat;
}

// What comes of one lane.
struct Lane {
  Outcome outcome;
  ops::LaneRecord record;
};

void fill_stream(const Case& c, const Program& program, int stream, int lane) {
  Case other = c;
  other.name += std::to_string(lane);
  fill(other, program.input(stream), program.labels(stream), program.targets(stream));
  program.labels(stream)[0] = lane % static_cast<int>(c.options.outputs);
}

RandomKey key_of(int lane) { return {1, 7, static_cast<std::uint32_t>(lane)}; }

// A lane, then an evaluation, by the ordinary program on one stream.
class Ordinary {
 public:
  Ordinary(const Case& c, const Floats& flat) : c_(c), program_(cpu_device(), c.layers, c.options) {
    program_.bind(flat.data());
    program_.pack();
  }
  Lane train(int lane) {
    Lane out;
    fill_stream(c_, program_, 0, lane);
    MapSink sink(program_.table(), out.outcome);
    program_.train(0, key_of(lane), sink, out.record);
    return out;
  }
  ops::LaneRecord evaluate(int lane) {
    fill_stream(c_, program_, 0, lane);
    ops::LaneRecord record;
    program_.evaluate(0, c_.options.microbatch - 1, record);
    return record;
  }

 private:
  const Case& c_;
  Program program_;
};

void expect_same_record(const ops::LaneRecord& got, const ops::LaneRecord& expected) {
  EXPECT_EQ(got.sums, expected.sums);
  EXPECT_EQ(got.counts, expected.counts);
}

// Lanes `first` to `first` + count, on streams that are not in order.
void expect_lanes_together(const Case& c, HeldRunning& held, Ordinary& ordinary, int first,
                           int count) {
  Program& program = held.program;
  std::vector<Lane> lanes(count);
  std::vector<MapSink> sinks;
  std::vector<Program::Pass> passes;
  for (Lane& lane : lanes) sinks.emplace_back(program.table(), lane.outcome);
  for (int k = 0; k < count; ++k) {
    const int stream = kStreams - 1 - k;
    fill_stream(c, program, stream, first + k);
    passes.push_back({stream, key_of(first + k), &sinks[k], &lanes[k].record});
  }
  program.train_together(passes);
  for (int k = 0; k < count; ++k) {
    program.wait(passes[k].stream);
    SCOPED_TRACE(fmt::format("lane {} of {}", k, count));
    const Lane expected = ordinary.train(first + k);
    EXPECT_TRUE(sinks[k].all_complete());
    expect_same_bits(lanes[k].outcome, expected.outcome);
    expect_same_record(lanes[k].record, expected.record);
  }
}

class HeldCase : public ::testing::TestWithParam<int> {};

TEST_P(HeldCase, has_the_bits_of_parameters_that_stay) {
  Case c = cases()[GetParam()];
  c.options.streams = kStreams;
  ApartDevice apart;
  for (Device* const device : {&cpu_device(), static_cast<Device*>(&apart)}) {
    SCOPED_TRACE(device->name());
    const Floats flat = parameters_of(Program(cpu_device(), c.layers, c.options).table());
    Ordinary ordinary(c, flat);
    HeldRunning held(*device, c, flat);
    for (int count = 1; count <= kStreams; ++count)
      expect_lanes_together(c, held, ordinary, count, count);
    for (const int stream : {0, 1}) {
      fill_stream(c, held.program, stream, 2);
      ops::LaneRecord evaluated;
      held.program.evaluate(stream, c.options.microbatch - 1, evaluated);
      held.program.wait(stream);
      EXPECT_NE(evaluated.sums[0], 0);
      expect_same_record(evaluated, ordinary.evaluate(2));
    }
    expect_lanes_together(c, held, ordinary, 0, 1);
  }
}

INSTANTIATE_TEST_SUITE_P(All, HeldCase, ::testing::Range(0, 13),
                         [](const auto& info) { return cases()[info.param].name; });

std::vector<PoisonedSource::Call> calls_of(int uses) {
  std::vector<PoisonedSource::Call> calls{{'b', uses}};
  for (int use = 0; use < uses; ++use) {
    calls.push_back({'h', use});
    calls.push_back({'r', use});
  }
  return calls;
}

TEST(Held, a_pass_of_any_number_of_streams_holds_and_releases_each_use_once_in_order) {
  Case c = decoder("gpt", 0.25);
  c.options.streams = 2;
  Floats flat = parameters_of(Program(cpu_device(), c.layers, c.options).table());
  HeldRunning held(cpu_device(), c, flat);
  Program& program = held.program;
  const auto uses = static_cast<int>(program.uses().size());
  std::vector<Lane> lanes(2);
  for (const int stream : {0, 1}) fill_stream(c, program, stream, stream);
  MapSink first(program.table(), lanes[0].outcome), second(program.table(), lanes[1].outcome);
  const Program::Pass passes[] = {{0, key_of(0), &first, &lanes[0].record},
                                  {1, key_of(1), &second, &lanes[1].record}};
  program.train_together(passes);
  EXPECT_EQ(held.source.calls(), calls_of(uses));
  held.source.forget_calls();
  ops::LaneRecord record;
  program.evaluate(0, 1, record);
  EXPECT_EQ(held.source.calls(), calls_of(program.evaluation_uses()));
  EXPECT_LT(program.evaluation_uses(), uses);
}

std::vector<std::vector<std::string>> names_of_uses(const Program& program) {
  std::vector<std::vector<std::string>> uses;
  for (const ParameterUse& use : program.uses()) {
    auto& names = uses.emplace_back();
    for (const int p : use.parameters) names.push_back(program.table()[p].name);
  }
  return uses;
}

using Names = std::vector<std::string>;

// The head shares the embedding's weight, which the embedding's own backward does not read.
TEST(Held, uses_are_what_each_sweep_reads) {
  PresetOptions options;
  options.preset = "gpt";
  options.blocks = 1, options.embedding = 16, options.heads = 4;
  const ProgramOptions tokens = token_options(7, 13, 3);
  const Program gpt(cpu_device(), make_preset(options, tokens.sample, 13), tokens);
  const Names norm1{"block0.norm1.weight", "block0.norm1.bias"},
      qkv{"block0.qkv.weight", "block0.qkv.bias"},
      projection{"block0.projection.weight", "block0.projection.bias"},
      norm2{"block0.norm2.weight", "block0.norm2.bias"}, up{"block0.up.weight", "block0.up.bias"},
      down{"block0.down.weight", "block0.down.bias"}, norm{"norm.weight", "norm.bias"};
  const Names table{"tokens.weight"};
  const Names start{"positions.weight", "block0.norm1.weight", "block0.norm1.bias"};
  EXPECT_EQ(names_of_uses(gpt),
            (std::vector<Names>{table, start, qkv, projection, norm2, up, down, norm, table, norm,
                                down, up, norm2, projection, qkv, norm1}));
  EXPECT_EQ(gpt.evaluation_uses(), 9);
}

// Without a gradient of the input the first layer's backward does not read its weight; running
// statistics are read in evaluation alone.
TEST(Held, backward_reads_neither_the_first_weight_nor_statistics) {
  std::vector<LayerSpec> layers{spec_of("conv", "c"), spec_of("batch_norm", "b"),
                                spec_of("relu", "r"), spec_of("linear", "l")};
  layers[0].out = 4, layers[0].kernel = {3, 3}, layers[0].bias = false;
  layers.insert(layers.end() - 1, spec_of("flatten", "f"));
  ProgramOptions options;
  options.sample = Shape{5, 5, 1}, options.microbatch = 2, options.outputs = 3;
  const Program program(cpu_device(), layers, options);
  const auto uses = names_of_uses(program);
  std::vector<Names> backward(uses.begin() + program.evaluation_uses(), uses.end());
  for (const Names& use : backward) {
    for (const std::string& name : use)
      EXPECT_TRUE(name.starts_with("l.") || name == "b.weight" || name == "b.bias") << name;
  }
  ASSERT_FALSE(backward.empty());
  EXPECT_EQ(backward.front(), (Names{"l.weight", "l.bias"}));
}

TEST(Held, packed_weights_are_those_of_the_largest_use) {
  const auto bytes = [](std::int64_t blocks, bool held) {
    PresetOptions options;
    options.preset = "gpt";
    options.blocks = blocks, options.embedding = 64, options.heads = 4;
    ProgramOptions program = token_options(16, 13, 2);
    program.held = held;
    const Program gpt(cpu_device(), make_preset(options, program.sample, 13), program);
    for (const LedgerRow& row : gpt.ledger()) {
      if (row.name == (held ? "gathered layers" : "packed weights")) return row.bytes;
    }
    return std::size_t{0};
  };
  EXPECT_GT(bytes(2, true), 0u);
  EXPECT_EQ(bytes(2, true), bytes(9, true));
  EXPECT_LT(4 * bytes(9, true), bytes(9, false));
}

TEST(Held, a_step_allocates_nothing) {
  Case c = blocks(decoder("llama", 0.125));
  c.options.streams = 2;
  const Floats flat = parameters_of(Program(cpu_device(), c.layers, c.options).table());
  HeldRunning held(cpu_device(), c, flat);
  Program& program = held.program;
  Lane lanes[2];
  for (const int stream : {0, 1}) fill_stream(c, program, stream, stream);
  std::int64_t before = 0;
  for (int step = 0; step < 2; ++step) {
    MapSink first(program.table(), lanes[0].outcome), second(program.table(), lanes[1].outcome);
    const Program::Pass passes[] = {{0, key_of(0), &first, &lanes[0].record},
                                    {1, key_of(1), &second, &lanes[1].record}};
    held.source.forget_calls();
    before = test::allocation_count();
    program.train_together(passes);
  }
  EXPECT_EQ(test::allocation_count(), before);
}

TEST(Held, what_needs_parameters_that_stay_is_refused) {
  const Case c = mlp();
  const Floats flat = parameters_of(Program(cpu_device(), c.layers, c.options).table());
  HeldRunning held(cpu_device(), c, flat);
  EXPECT_THROW(held.program.pack(), Error);
  EXPECT_THROW(held.program.infer(0, 0), Error);
  EXPECT_THROW(held.program.bind(flat.data()), Error);
  Running stays(c);
  EXPECT_THROW(stays.program.bind(held.source), Error);
  Lane lane;
  MapSink sink(held.program.table(), lane.outcome);
  const Program::Pass twice[] = {{0, {}, &sink, &lane.record}, {0, {}, &sink, &lane.record}};
  EXPECT_THROW(held.program.train_together(twice), Error);
}

// Writes down what streams are told to wait for, as a device that runs behind the host needs it.
class OrderedDevice final : public ApartDevice {
 public:
  explicit OrderedDevice(std::vector<std::string>& log) : log_(log) {}
  std::unique_ptr<Event> make_event() override { return std::make_unique<Written>(*this); }
  std::string of(const Stream& stream) const {
    const auto found = std::ranges::find(streams_, &stream);
    return std::to_string(found - streams_.begin());
  }
  void know(const Program& program) {
    for (int k = 0; k < program.options().streams; ++k) streams_.push_back(&program.stream(k));
  }

 private:
  struct Written final : Event {
    explicit Written(OrderedDevice& on) : device(on) {}
    void record(Stream& stream) override { device.log_.push_back("record " + device.of(stream)); }
    void wait(Stream& stream) override { device.log_.push_back("wait " + device.of(stream)); }
    bool done() override { return true; }
    void synchronize() override {}
    OrderedDevice& device;
  };
  std::vector<std::string>& log_;
  std::vector<const Stream*> streams_;
};

class WrittenSource final : public PoisonedSource {
 public:
  WrittenSource(const Program& program, const Floats& flat, std::vector<std::string>& log)
      : PoisonedSource(program, flat), log_(log) {}
  void hold(int use, const float** addresses, Stream& stream) override {
    log_.push_back("hold");
    PoisonedSource::hold(use, addresses, stream);
  }
  void release(int use, Stream& stream) override {
    PoisonedSource::release(use, stream);
    log_.push_back("release");
  }

 private:
  std::vector<std::string>& log_;
};

TEST(Held, other_streams_wait_for_what_is_held_and_its_release_for_them) {
  Case c = mlp();
  c.options.streams = 2, c.options.held = true;
  std::vector<std::string> log, expected;
  OrderedDevice device(log);
  Program program(device, c.layers, c.options);
  device.know(program);
  const Floats flat = parameters_of(program.table());
  WrittenSource source(program, flat, log);
  program.bind(source);
  Lane lanes[2];
  std::vector<MapSink> sinks;
  for (Lane& lane : lanes) sinks.emplace_back(program.table(), lane.outcome);
  for (const int stream : {0, 1}) fill_stream(c, program, stream, stream);
  const Program::Pass passes[] = {{0, key_of(0), sinks.data(), &lanes[0].record},
                                  {1, key_of(1), &sinks[1], &lanes[1].record}};
  program.train_together(passes);
  for (std::size_t use = 0; use < program.uses().size(); ++use)
    expected.insert(expected.end(),
                    {"hold", "record 0", "wait 1", "record 1", "wait 0", "release"});
  // Inputs go before the first use, records come after the last.
  const auto begin = std::ranges::find(log, "hold");
  const auto end = std::find(log.rbegin(), log.rend(), "release").base();
  EXPECT_EQ((std::vector<std::string>(begin, end)), expected);
}

}  // namespace
}  // namespace lockstep::nn
