// Optimizers against the published formulas in double, over tables with odd sizes.
#include "lockstep/optim/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "lockstep/core/error.h"
#include "lockstep/core/philox.h"

namespace lockstep::optim {
namespace {

ParameterTable odd_table() {
  ParameterTable table;
  int i = 0;
  for (const std::int64_t n : {1, 7, 31, 32, 33, 1000, 1023, 4096, 4097, 10007}) {
    const auto kind = i % 3 == 2 ? ParameterKind::kNoDecay : ParameterKind::kWeight;
    table.add(fmt::format("p{}", i++), {n}, kind, Init::kNormal, 0.5);
  }
  table.add("zero", {5}, ParameterKind::kWeight, Init::kZeros);
  table.add("running", {33}, ParameterKind::kStatistic, Init::kOnes);
  return table;
}

std::vector<float> gradient_of(const ParameterTable& table, std::int64_t step) {
  std::vector<float> g(table.flat_elements(), 1e20f);  // padding must not be read
  const RandomKey key{.seed = 3, .step = static_cast<std::uint64_t>(step)};
  for (const Parameter& p : table.parameters()) {
    for (std::int64_t i = p.offset; i < p.offset + p.elements; ++i) {
      g[i] = static_cast<float>(64 * (2 * unit_interval(key.word(i)) - 1));
    }
  }
  return g;
}

constexpr double kScale = 1.0 / 64, kStatisticsScale = 0.25;

struct Trained {
  std::vector<float> parameters;
  std::vector<std::vector<float>> state;
};

Trained train(const ParameterTable& table, const Options& options, int steps) {
  Optimizer optimizer(table, options, cpu_device());
  std::vector<float> flat(table.flat_elements());
  table.initialise(1, flat.data());
  for (int step = 0; step < steps; ++step) {
    const std::vector<float> g = gradient_of(table, step);
    optimizer.step(flat.data(), step, kScale, kStatisticsScale,
                   [&](int block) { return g.data() + table.blocks()[block].begin; });
  }
  Trained trained{flat, {}};
  for (std::size_t i = 0; i < optimizer.state_names().size(); ++i) {
    trained.state.emplace_back(optimizer.state(static_cast<int>(i)),
                               optimizer.state(static_cast<int>(i)) + table.flat_elements());
  }
  return trained;
}

// The published formulas, one parameter at a time, everything in double.
class Reference {
 public:
  Reference(const ParameterTable& table, const Options& o)
      : table_(table), o_(o), m_(table.flat_elements()), v_(m_.size()), flat_(m_.size()) {
    std::vector<float> start(m_.size());
    table.initialise(1, start.data());
    flat_.assign(start.begin(), start.end());
  }
  const std::vector<double>& parameters() const { return flat_; }

  void step(std::int64_t step) {
    const std::vector<float> sum = gradient_of(table_, step);
    const double lr = learning_rate(o_, step);
    for (const Parameter& p : table_.parameters()) {
      const double decay = p.kind == ParameterKind::kWeight ? o_.decay : 0;
      std::vector<double> u(p.elements);
      double weights = 0, updates = 0;
      for (std::int64_t i = 0; i < p.elements; ++i) {
        const std::int64_t at = p.offset + i;
        double& w = flat_[at];
        if (p.kind == ParameterKind::kStatistic) {
          w = 0.9 * w + 0.1 * sum[at] * kStatisticsScale;
          continue;
        }
        const double g = sum[at] * kScale;
        u[i] = o_.kind == Kind::kSgd ? sgd(at, g + decay * w, step) : adam(at, g, decay, w, step);
        weights += w * w;
        updates += u[i] * u[i];
      }
      if (p.kind == ParameterKind::kStatistic) continue;
      double ratio = 1;
      if (o_.kind == Kind::kLamb && p.kind == ParameterKind::kWeight && weights > 0 &&
          updates > 0) {
        ratio = std::sqrt(weights) / std::sqrt(updates);
      }
      for (std::int64_t i = 0; i < p.elements; ++i) flat_[p.offset + i] -= lr * ratio * u[i];
    }
  }

 private:
  double sgd(std::int64_t at, double g, std::int64_t step) {
    m_[at] = step == 0 ? g : o_.momentum * m_[at] + g;
    return o_.nesterov ? g + o_.momentum * m_[at] : m_[at];
  }
  double adam(std::int64_t at, double g, double decay, double w, std::int64_t step) {
    if (o_.kind == Kind::kAdam) g += decay * w;
    m_[at] = o_.beta1 * m_[at] + (1 - o_.beta1) * g;
    v_[at] = o_.beta2 * v_[at] + (1 - o_.beta2) * g * g;
    const double m_hat = m_[at] / (1 - std::pow(o_.beta1, step + 1));
    const double v_hat = v_[at] / (1 - std::pow(o_.beta2, step + 1));
    const double direction = m_hat / (std::sqrt(v_hat) + o_.epsilon);
    return direction + (o_.kind == Kind::kAdam ? 0 : decay * w);
  }

  const ParameterTable& table_;
  Options o_;
  std::vector<double> m_, v_, flat_;
};

std::vector<Options> all_options() {
  std::vector<Options> all;
  for (const Kind kind : {Kind::kAdam, Kind::kAdamW, Kind::kLamb}) {
    Options o;
    o.kind = kind;
    o.decay = 0.1;
    all.push_back(o);
  }
  for (const double momentum : {0.0, 0.9}) {
    Options o;
    o.kind = Kind::kSgd;
    o.lr = 0.1;
    o.momentum = momentum;
    o.decay = 1e-2;
    all.push_back(o);
    if (momentum > 0) {
      o.nesterov = true;
      all.push_back(o);
    }
  }
  for (Options& o : all) {
    o.schedule = Schedule::kCosine;
    o.warmup = 3;
    o.total_steps = 20;
  }
  return all;
}

TEST(Optimizer, follows_the_published_formulas) {
  const ParameterTable table = odd_table();
  constexpr int kSteps = 12;
  for (const Options& o : all_options()) {
    SCOPED_TRACE(name_of(o.kind));
    Reference reference(table, o);
    for (int step = 0; step < kSteps; ++step) reference.step(step);
    const Trained got = train(table, o, kSteps);
    for (const Parameter& p : table.parameters()) {
      for (std::int64_t i = p.offset; i < p.offset + p.elements; ++i) {
        const double want = reference.parameters()[i];
        // A few roundings a step of a number up to |want| + 1.
        ASSERT_TRUE(std::abs(got.parameters[i] - want) <= kSteps * 0x1p-23 * (std::abs(want) + 1))
            << p.name << "[" << i - p.offset << "]: " << got.parameters[i] << " is not " << want;
      }
    }
  }
}

// A parameter's bits are those that it would have alone: nothing depends on its neighbours or on
// where it lies.
TEST(Optimizer, treats_a_parameter_the_same_wherever_it_lies) {
  ParameterTable alone, after;
  after.add("before", {1000}, ParameterKind::kWeight, Init::kNormal, 1);
  alone.add("w", {10007}, ParameterKind::kWeight, Init::kNormal, 0.5);
  after.add("w", {10007}, ParameterKind::kWeight, Init::kNormal, 0.5);
  const auto g = gradient_of(alone, 0);
  for (const Options& o : all_options()) {
    std::vector<float> x(alone.flat_elements()), y(after.flat_elements());
    alone.initialise(1, x.data());
    after.initialise(1, y.data());
    Optimizer one(alone, o, cpu_device()), two(after, o, cpu_device());
    const std::int64_t shift = after[1].offset;
    std::vector<float> g_after(after.flat_elements());
    std::copy(g.begin(), g.end(), g_after.begin() + shift);
    for (int step = 0; step < 3; ++step) {
      one.step(x.data(), step, kScale, 1, [&](int b) { return &g[alone.blocks()[b].begin]; });
      two.step(y.data(), step, kScale, 1, [&](int b) { return &g_after[after.blocks()[b].begin]; });
    }
    EXPECT_EQ(std::memcmp(x.data(), y.data() + shift, sizeof(float) * 10007), 0) << name_of(o.kind);
  }
}

TEST(Optimizer, leaves_padding_at_zero) {
  const ParameterTable table = odd_table();
  for (const Options& o : all_options()) {
    const Trained got = train(table, o, 2);
    std::vector<bool> used(table.flat_elements());
    for (const Parameter& p : table.parameters()) {
      for (std::int64_t i = 0; i < p.elements; ++i) used[p.offset + i] = true;
    }
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (used[i]) continue;
      ASSERT_EQ(got.parameters[i], 0);
      for (const auto& state : got.state) ASSERT_EQ(state[i], 0);
    }
  }
}

TEST(Optimizer, tells_of_each_parameter_when_its_last_block_is_updated) {
  const ParameterTable table = odd_table();
  for (const Kind kind : {Kind::kSgd, Kind::kAdamW, Kind::kLamb}) {
    Options o;
    o.kind = kind;
    const Trained expected = train(table, o, 1);
    Optimizer optimizer(table, o, cpu_device());
    std::vector<float> flat(table.flat_elements());
    table.initialise(1, flat.data());
    const std::vector<float> g = gradient_of(table, 0);
    std::vector<int> told;
    optimizer.step(
        flat.data(), 0, kScale, kStatisticsScale,
        [&](int block) { return g.data() + table.blocks()[block].begin; },
        [&](int parameter) {
          told.push_back(parameter);
          const Parameter& p = table[parameter];
          EXPECT_TRUE(std::equal(flat.begin() + p.offset, flat.begin() + p.offset + p.elements,
                                 expected.parameters.begin() + p.offset))
              << p.name << " is not what it will be";
        });
    std::vector<int> all(table.size());
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(told, all);
  }
}

TEST(Optimizer, names_its_state) {
  const ParameterTable table = odd_table();
  Options o;
  EXPECT_EQ(Optimizer(table, o, cpu_device()).state_names(), (std::vector<std::string>{"m", "v"}));
  EXPECT_EQ(Optimizer(table, o, cpu_device()).state_bytes(), 8u * table.flat_elements());
  o.kind = Kind::kSgd;
  EXPECT_TRUE(Optimizer(table, o, cpu_device()).state_names().empty());
  o.momentum = 0.9;
  EXPECT_EQ(Optimizer(table, o, cpu_device()).state_names(), std::vector<std::string>{"momentum"});
}

TEST(Optimizer, refuses_options_that_contradict_each_other) {
  const ParameterTable table = odd_table();
  Options o;
  o.schedule = Schedule::kStep;
  EXPECT_THROW(Optimizer(table, o, cpu_device()), UserError);
  o = Options{.kind = Kind::kSgd, .nesterov = true};
  EXPECT_THROW(Optimizer(table, o, cpu_device()), UserError);
}

}  // namespace
}  // namespace lockstep::optim
