// The optimizers' kernels and the sums of squares against the CPU's loops, bit for bit.
#include "kernels/update.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/device_array.h"
#include "lockstep/core/isa.h"
#include "lockstep/ops/vector.h"
#include "optim/norms.h"

namespace lockstep::kernels {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

Floats uniform(std::size_t n, unsigned seed, double low = -1, double high = 1) {
  std::mt19937 bits(seed);
  Floats x(n);
  for (float& value : x) value = static_cast<float>(low + (high - low) * (bits() / 4294967296.0));
  return x;
}

// Sizes around packs, threads and blocks; each kind at each.
ParameterTable make_table() {
  ParameterTable table;
  int number = 0;
  for (std::int64_t size : shapes_to_try<std::int64_t>(
           {1, 7, 31, 32, 33, 1000, 1023, 1024, 1025, 4095, 4096, 4097, 13007}, {33, 1, 4097})) {
    const auto kind = static_cast<ParameterKind>(number % 3);
    table.add("p" + std::to_string(number++), {size}, kind, Init::kZeros);
  }
  table.add("even", {8192}, ParameterKind::kWeight, Init::kZeros);
  table.add("large", {5 * 4096 + 77}, ParameterKind::kWeight, Init::kZeros);
  return table;
}

// The flat buffers of a run, on the host and on the device; gradients lie by block in shuffled
// places, every other one off the boundaries of 16 bytes.
struct Model {
  ParameterTable table = make_table();
  Floats p = uniform(table.flat_elements(), 1), m = uniform(table.flat_elements(), 2),
         v = uniform(table.flat_elements(), 3, 0), g = uniform(table.flat_elements(), 4);
  DeviceArray<Block> blocks{table.blocks()};
  DeviceArray<ParameterEntry> entries{parameter_entries(table)};

  Model() {
    p[5] = 1e-40f, g[9] = -0.0f, v[11] = 0, m[11] = 0, g[11] = 0;
    const int large = table.size() - 1;
    g[table[large].offset + 4100] = std::numeric_limits<float>::infinity();
    g[table[large].offset + 9001] = std::numeric_limits<float>::quiet_NaN();
  }
  DeviceTable device_table() const { return {blocks.data(), entries.data(), table.size()}; }
  BlockRange all() const { return {0, static_cast<int>(table.blocks().size())}; }
  const float* gradient(int block) const { return g.data() + table.blocks()[block].begin; }
};

class Gradients {
 public:
  explicit Gradients(const Model& model) : memory_(scattered(model)), pointers_(addresses(model)) {}
  const float* const* pointers() const { return pointers_.data(); }

 private:
  // One float further at every second block, so that the start is not on 16 bytes.
  static std::int64_t place(int block) { return block * (kBlock + 4) + block % 2; }
  static Floats scattered(const Model& model) {
    const auto& blocks = model.table.blocks();
    // Nothing lies behind the last one, whose size is odd.
    Floats all(place(static_cast<int>(blocks.size()) - 1) + blocks.back().elements, NAN);
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      std::copy_n(model.gradient(static_cast<int>(b)), blocks[b].elements,
                  all.begin() + place(static_cast<int>(b)));
    }
    return all;
  }
  std::vector<const float*> addresses(const Model& model) const {
    std::vector<const float*> pointers;
    for (std::size_t b = 0; b < model.table.blocks().size(); ++b) {
      pointers.push_back(memory_.data() + place(static_cast<int>(b)));
    }
    return pointers;
  }

  DeviceArray<float> memory_;
  DeviceArray<const float*> pointers_;
};

void expect_same_bits(const Floats& got, const Floats& want, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i]) && std::isnan(got[i])) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(want[i]))
        << what << " " << i << ": " << got[i] << " not " << want[i];
  }
}

constexpr double kScale = 1.0 / 48, kStatisticsScale = 1.0 / 3;

// Every block of a model by a rule of the CPU.
template <class Rule>
void on_host(Model& model, Rule rule) {
  for (int b = 0; b < model.all().count; ++b) {
    const auto [index, begin, elements] = model.table.blocks()[b];
    const ParameterKind kind = model.table[index].kind;
    if (kind == ParameterKind::kStatistic) {
      for (std::int64_t i = begin; i < begin + elements; ++i) {
        model.p[i] =
            static_cast<float>((1 - 0.1) * model.p[i] + 0.1 * (model.g[i] * kStatisticsScale));
      }
    } else {
      rule(begin, elements, kind == ParameterKind::kWeight);
    }
  }
}

UpdateArgs args_of(const Model& model, const Gradients& gradients, float* parameters) {
  UpdateArgs args;
  args.table = model.device_table();
  args.range = model.all();
  args.parameters = parameters;
  args.gradients = gradients.pointers();
  args.g_scale = kScale;
  args.statistics_scale = kStatisticsScale;
  return args;
}

TEST(Update, sgd_has_the_bits_of_the_cpu) {
  ASSERT_GE(isa(), Isa::kAvx2) << "the plain loops do not fuse";
  struct Case {
    double momentum;
    bool nesterov, first;
  };
  for (const Case c :
       {Case{0, false, true}, {0.9, false, true}, {0.9, false, false}, {0.9, true, false}}) {
    for (const bool reference : {false, true}) {
      Model model;
      if (c.first) model.m[3] = NAN;  // must not be read
      const Gradients gradients(model);
      const DeviceArray<float> p(model.p), m(model.m);
      const UpdateArgs args = args_of(model, gradients, p.data());
      const SgdRule rule{0.1, c.momentum, 0.01, c.nesterov, c.first};
      (reference ? sgd_reference : sgd)(args, rule, c.momentum == 0 ? nullptr : m.data(), nullptr);
      on_host(model, [&](std::int64_t begin, std::int64_t n, bool decays) {
        const ops::SgdStep s{0.1f,
                             static_cast<float>(c.momentum),
                             decays ? 0.01f : 0.0f,
                             static_cast<float>(kScale),
                             c.nesterov,
                             c.first};
        ops::sgd(&model.p[begin], &model.m[begin], &model.g[begin], n, s);
      });
      expect_same_bits(p.host(), model.p, "parameters");
      expect_same_bits(m.host(), model.m, "momentum");
    }
  }
}

AdamRule adam_rule(bool decoupled) {
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999;
  return {1e-2,     kBeta1, kBeta2, 1e-8, 0.05, 1 - std::pow(kBeta1, 3), 1 - std::pow(kBeta2, 3),
          decoupled};
}
ops::AdamStep adam_step(const AdamRule& r, bool decays) {
  return {r.lr, r.beta1, r.beta2, r.epsilon, decays ? r.decay : 0, kScale, r.c1, r.c2, r.decoupled};
}

TEST(Update, adam_has_the_bits_of_the_cpu) {
  for (const bool decoupled : {false, true}) {
    for (const bool reference : {false, true}) {
      Model model;
      const Gradients gradients(model);
      const DeviceArray<float> p(model.p), m(model.m), v(model.v);
      const AdamRule rule = adam_rule(decoupled);
      (reference ? adam_reference : adam)(args_of(model, gradients, p.data()), rule, m.data(),
                                          v.data(), nullptr);
      on_host(model, [&](std::int64_t begin, std::int64_t n, bool decays) {
        ops::adam(&model.p[begin], &model.m[begin], &model.v[begin], &model.g[begin], n,
                  adam_step(rule, decays));
      });
      expect_same_bits(p.host(), model.p, "parameters");
      expect_same_bits(m.host(), model.m, "m");
      expect_same_bits(v.host(), model.v, "v");
    }
  }
}

TEST(Update, moves_the_blocks_of_its_range_alone) {
  Model model;
  const Gradients gradients(model);
  const DeviceArray<float> p(model.p);
  UpdateArgs args = args_of(model, gradients, p.data());
  args.range = {3, 8};
  sgd(args, {0.1, 0, 0, false, false}, nullptr, nullptr);
  const Floats after = p.host();
  for (int b = 0; b < model.all().count; ++b) {
    const auto [index, begin, elements] = model.table.blocks()[b];
    EXPECT_EQ(after[begin] != model.p[begin], b >= 3 && b < 11) << b;
  }
}

// Against optim::Optimizer's order of things, written out.
TEST(Update, lamb_has_the_bits_of_the_cpu) {
  Model model;
  const int zero = model.table.find("even");  // its ratio is 1
  std::fill_n(&model.p[model.table[zero].offset], 8192, 0.0f);
  for (float& g : model.g) g = std::isfinite(g) ? g : 0.5f;
  const Gradients gradients(model);
  const DeviceArray<float> p(model.p), m(model.m), v(model.v), factors(model.table.size());
  const DeviceArray<double> weight_squares(model.all().count), squares(model.all().count);
  const AdamRule rule = adam_rule(true);
  const UpdateArgs args = args_of(model, gradients, p.data());
  lamb_moments(args, rule, m.data(), v.data(), weight_squares.data(), squares.data(), nullptr);
  lamb_factors(args.table, rule.lr, weight_squares.data(), squares.data(), factors.data(), nullptr);
  lamb_apply(args, rule, m.data(), v.data(), factors.data(), nullptr);

  Floats update(model.p.size());
  on_host(model, [&](std::int64_t begin, std::int64_t n, bool decays) {
    ops::lamb_direction(&update[begin], &model.p[begin], &model.m[begin], &model.v[begin],
                        &model.g[begin], n, adam_step(rule, decays));
  });
  const Doubles device_squares = squares.host();
  for (int i = 0; i < model.table.size(); ++i) {
    const ParameterKind kind = model.table[i].kind;
    if (kind == ParameterKind::kStatistic) continue;
    optim::SiblingSum weights, updates;
    for (int b = model.table.first_block(i); b < model.table.end_block(i); ++b) {
      const auto [index, begin, n] = model.table.blocks()[b];
      if (kind == ParameterKind::kNoDecay) continue;
      weights.push(ops::sum_of_squares(&model.p[begin], n));
      updates.push(ops::sum_of_squares(&update[begin], n));
      EXPECT_EQ(device_squares[b], ops::sum_of_squares(&update[begin], n)) << b;
    }
    const double w = std::sqrt(weights.total()), u = std::sqrt(updates.total());
    const double ratio = w > 0 && u > 0 ? w / u : 1;
    const Parameter& parameter = model.table[i];
    ops::axpy(&model.p[parameter.offset], &update[parameter.offset],
              static_cast<float>(-rule.lr * ratio), parameter.elements);
  }
  expect_same_bits(p.host(), model.p, "parameters");
  expect_same_bits(m.host(), model.m, "m");
  expect_same_bits(v.host(), model.v, "v");
}

float widened(std::uint16_t half) { return std::bit_cast<float>(std::uint32_t{half} << 16); }

TEST(Update, writes_weights_to_the_nearest_bf16) {
  Model model;
  const Gradients gradients(model);
  const DeviceArray<float> p(model.p);
  const DeviceArray<std::uint16_t> halves(model.p.size());
  UpdateArgs args = args_of(model, gradients, p.data());
  args.bf16 = halves.data();
  sgd(args, {0.1, 0, 0, false, false}, nullptr, nullptr);
  const Floats after = p.host();
  const std::vector<std::uint16_t> got = halves.host();
  for (const auto& [index, begin, elements] : model.table.blocks()) {
    const bool weight = model.table[index].kind != ParameterKind::kStatistic;
    for (std::int64_t i = begin; i < begin + elements; ++i) {
      if (!weight) {
        ASSERT_EQ(got[i], 0xFFFF);  // not written
      } else if (std::isnan(after[i])) {
        ASSERT_TRUE(std::isnan(widened(got[i])));
      } else {
        const auto bits = std::bit_cast<std::uint32_t>(after[i]);
        ASSERT_EQ(got[i], (bits + 0x7FFF + (bits >> 16 & 1)) >> 16) << after[i];
      }
    }
  }
}

TEST(Update, rounds_by_chance_with_the_right_mean_and_the_same_for_every_shard) {
  Model model;
  for (float& g : model.g) g = 0;
  const int large = model.table.size() - 1;
  const Parameter& parameter = model.table[large];
  const float low = 1.0f, step = 0x1p-7f;
  std::fill_n(&model.p[parameter.offset], parameter.elements, low + 0.25f * step);
  model.p[parameter.offset] = std::numeric_limits<float>::quiet_NaN();
  const Gradients gradients(model);
  const DeviceArray<float> p(model.p);
  const DeviceArray<std::uint16_t> whole(model.p.size()), shards(model.p.size()),
      later(model.p.size()), naive(model.p.size());
  UpdateArgs args = args_of(model, gradients, p.data());
  args.stochastic = true, args.seed = 5, args.step = 7;
  const SgdRule still{0, 0, 0, false, false};
  args.bf16 = whole.data();
  sgd(args, still, nullptr, nullptr);
  args.bf16 = naive.data();
  sgd_reference(args, still, nullptr, nullptr);
  args.bf16 = shards.data();
  const int half = args.range.count - 3, blocks = args.range.count;
  args.range = {0, half};
  sgd(args, still, nullptr, nullptr);
  args.range = {half, blocks - half};
  sgd(args, still, nullptr, nullptr);
  args.range = {0, blocks};
  args.bf16 = later.data(), args.step = 8;
  sgd(args, still, nullptr, nullptr);
  const auto got = whole.host();
  EXPECT_EQ(got, shards.host());
  EXPECT_EQ(got, naive.host());
  EXPECT_NE(got, later.host());
  EXPECT_TRUE(std::isnan(widened(got[parameter.offset])));
  std::int64_t up = 0;
  for (std::int64_t i = 1; i < parameter.elements; ++i) {
    const float x = widened(got[parameter.offset + i]);
    ASSERT_TRUE(x == low || x == low + step) << x;
    up += x != low;
  }
  // 4 deviations of a binomial.
  const auto n = static_cast<double>(parameter.elements - 1);
  EXPECT_NEAR(up / n, 0.25, 4 * std::sqrt(0.25 * 0.75 / n));
}

TEST(Squares, of_blocks_have_the_bits_of_the_cpu) {
  Model model;
  const Gradients gradients(model);
  const DeviceArray<double> squares(model.all().count), naive(model.all().count);
  block_squares(model.device_table(), model.all(), gradients.pointers(), squares.data(), nullptr);
  block_squares_reference(model.device_table(), model.all(), gradients.pointers(), naive.data(),
                          nullptr);
  const Doubles got = squares.host(), plain = naive.host();
  for (int b = 0; b < model.all().count; ++b) {
    const double want = ops::sum_of_squares(model.gradient(b), model.table.blocks()[b].elements);
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got[b]) && std::isnan(plain[b]));
    } else {
      EXPECT_EQ(got[b], want) << b;
      EXPECT_EQ(plain[b], want) << b;
    }
  }
  const DeviceArray<double> part(model.all().count);
  block_squares(model.device_table(), {2, 5}, gradients.pointers(), part.data(), nullptr);
  const Doubles some = part.host();
  for (int b = 0; b < 9; ++b) EXPECT_EQ(std::isnan(some[b]), b < 2 || b >= 7) << b;
}

TEST(Squares, of_parameters_are_the_sibling_tree) {
  std::vector<ParameterEntry> entries;
  int blocks = 0;
  for (const int count : {1, 2, 3, 5, 31, 1000, 1023, 1024, 1025, 2047, 2049, 3073, 5003}) {
    entries.push_back({static_cast<std::int32_t>(ParameterKind::kWeight), blocks, blocks + count});
    blocks += count;
  }
  entries.push_back({static_cast<std::int32_t>(ParameterKind::kStatistic), blocks, blocks});
  std::mt19937 bits(1);
  Doubles values(blocks);
  for (double& v : values) v = bits() / 4294967296.0;
  const DeviceArray<double> squares(values), sums(entries.size());
  const DeviceArray<ParameterEntry> on_device(entries);
  const DeviceTable table{nullptr, on_device.data(), static_cast<int>(entries.size())};
  parameter_squares(table, squares.data(), sums.data(), nullptr);
  const Doubles got = sums.host();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    optim::SiblingSum want;
    for (int b = entries[i].first_block; b < entries[i].end_block; ++b) want.push(values[b]);
    EXPECT_EQ(got[i], want.total()) << entries[i].end_block - entries[i].first_block;
  }
}

}  // namespace
}  // namespace lockstep::kernels
