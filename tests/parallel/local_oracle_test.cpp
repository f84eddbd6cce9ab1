// Local steps against loops in double, one replica after the other, on the program's own gradients.
#include <gtest/gtest.h>

#include "parallel/local_run.h"

namespace lockstep::parallel::test {
namespace {

// Adds the gradients of passes in double.
class Summed final : public nn::GradientSink {
 public:
  explicit Summed(const ParameterTable& table)
      : sum(table.flat_elements()), table_(table), flat_(table.flat_elements()) {}
  float* address(int parameter) override { return flat_.data() + table_[parameter].offset; }
  void complete(int first, int end) override {
    for (int p = first; p < end; ++p) {
      for (std::int64_t e = 0; e < table_[p].elements; ++e)
        sum[table_[p].offset + e] += flat_[table_[p].offset + e];
    }
  }
  std::vector<double> sum;

 private:
  const ParameterTable& table_;
  std::vector<float> flat_;
};

using Values = std::vector<double>;

// PyTorch's loops, written down: clip_grad_norm_, SGD, AdamW, batch norm's running statistics.
class Naive {
 public:
  Naive(const Setting& setting, std::int64_t replicas)
      : setting_(setting),
        program_(cpu_device(), small_network(), small_program()),
        passes_(program_, setting.parallel.accumulate),
        flat_(program_.table().flat_elements()),
        global(flat_.size()),
        momentum_(flat_.size()),
        m_(replicas, Values(flat_.size())),
        v_(replicas, Values(flat_.size())) {
    program_.table().initialise(1, flat_.data());
    global.assign(flat_.begin(), flat_.end());
    program_.bind(flat_.data());
  }

  void stretch(std::int64_t step, std::int64_t steps) {
    const auto replicas = static_cast<std::int64_t>(m_.size());
    Values mean(global.size());
    losses.assign(steps, 0);
    norms.assign(steps, 0);
    for (std::int64_t i = 0; i < replicas; ++i) {
      Values p = global;
      for (std::int64_t s = 0; s < steps; ++s) inner(i, step + s, s, p);
      for (std::size_t e = 0; e < p.size(); ++e) mean[e] += p[e] / static_cast<double>(replicas);
    }
    const Options& o = setting_.parallel;
    for (const Parameter& parameter : program_.table().parameters()) {
      for (std::int64_t k = 0; k < parameter.elements; ++k) {
        const std::int64_t e = parameter.offset + k;
        if (o.outer == OuterStep::kAverage || parameter.kind == ParameterKind::kStatistic) {
          global[e] = mean[e];
          continue;
        }
        const double gradient = global[e] - mean[e];
        momentum_[e] = o.outer_momentum * momentum_[e] + gradient;
        global[e] -= o.outer_lr * (gradient + o.outer_momentum * momentum_[e]);
      }
    }
  }

 private:
  void inner(std::int64_t replica, std::int64_t step, std::int64_t index, Values& p) {
    const Options& o = setting_.parallel;
    const ParameterTable& table = program_.table();
    std::copy(p.begin(), p.end(), flat_.begin());
    program_.pack();
    Summed sink(table);
    ops::LaneRecord record;
    const std::int64_t lanes = o.lanes / static_cast<std::int64_t>(m_.size());
    for (std::int64_t lane = replica * lanes; lane < (replica + 1) * lanes; ++lane) {
      for (std::int64_t micro = 0; micro < o.accumulate; ++micro)
        passes_.run({0, step, lane, micro, &sink, &record});
    }
    const auto samples = static_cast<double>(record.counts[0]);
    double squares = 0;
    for (const Parameter& parameter : table.parameters()) {
      if (parameter.kind == ParameterKind::kStatistic) continue;
      for (std::int64_t k = 0; k < parameter.elements; ++k)
        squares += std::pow(sink.sum[parameter.offset + k] / samples, 2);
    }
    const double norm = std::sqrt(squares), clip = setting_.optimizer.clip;
    const double factor = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1;
    losses[index] += record.sums[0] / samples / static_cast<double>(m_.size());
    norms[index] += norm / static_cast<double>(m_.size());
    for (const Parameter& parameter : table.parameters()) {
      for (std::int64_t k = 0; k < parameter.elements; ++k) {
        const std::int64_t e = parameter.offset + k;
        if (parameter.kind == ParameterKind::kStatistic) {
          p[e] = 0.9 * p[e] + 0.1 * sink.sum[e] / static_cast<double>(lanes * o.accumulate);
        } else {
          update(replica, step, e, parameter.kind == ParameterKind::kWeight,
                 sink.sum[e] / samples * factor, p[e]);
        }
      }
    }
  }

  void update(std::int64_t replica, std::int64_t step, std::int64_t e, bool decayed, double g,
              double& p) {
    const optim::Options& o = setting_.optimizer;
    const double decay = decayed ? o.decay : 0;
    double &m = m_[replica][e], &v = v_[replica][e];
    if (o.kind == optim::Kind::kSgd) {
      m = o.momentum * m + g + decay * p;
      p -= o.lr * m;
      return;
    }
    const auto t = static_cast<double>(step + 1);
    p -= o.lr * decay * p;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    p -= o.lr * (m / (1 - std::pow(o.beta1, t))) /
         (std::sqrt(v / (1 - std::pow(o.beta2, t))) + o.epsilon);
  }

  const Setting setting_;
  nn::Program program_;
  Passes passes_;
  std::vector<float> flat_;

 public:
  Values global, losses, norms;

 private:
  Values momentum_;
  std::vector<Values> m_, v_;  // by replica
};

double largest_difference(const std::vector<float>& a, const Values& b) {
  double largest = 0;
  for (std::size_t e = 0; e < a.size(); ++e)
    largest = std::max(largest, std::fabs(static_cast<double>(a[e]) - b[e]));
  return largest;
}

void expect_naive_numbers(const Setting& setting, std::int64_t steps) {
  const auto self = comm::make_self_communicator();
  SmallRun run(*self, setting);
  Naive naive(setting, setting.parallel.replicas);
  while (run.step < steps) {
    const std::int64_t begin = run.step;
    std::vector<float> before = run.values("parameters");
    run.go_to(begin + 1);
    naive.stretch(begin, run.step - begin);
    const std::vector<float> after = run.values("parameters");
    // fp32 against double: rounding of parameters below 2, over a few steps.
    EXPECT_TRUE(largest_difference(after, naive.global) <= 3e-6) << run.step;
    EXPECT_GT(largest_difference(after, Values(before.begin(), before.end())), 1e-3);
    for (std::int64_t s = begin; s < run.step; ++s) {
      const StepOutcome& outcome = run.outcomes[s];
      const double loss =
          outcome.total.lane.sums[0] / static_cast<double>(outcome.total.lane.counts[0]);
      EXPECT_NEAR(loss, naive.losses[s - begin], 1e-5) << s;
      // Batch norms over 3 samples make much of the parameters' rounding.
      const double norm = naive.norms[s - begin];
      EXPECT_NEAR(outcome.gradient_norm, norm, 5e-5 * norm) << s;
      EXPECT_EQ(outcome.learning_rate, setting.optimizer.lr);
    }
  }
}

TEST(LocalSteps, of_sgd_then_average_are_those_of_loops_in_double) {
  Setting setting = local_setting(6, 3, 3, OuterStep::kAverage);
  setting.optimizer.kind = optim::Kind::kSgd;
  setting.optimizer.momentum = 0.9;
  setting.optimizer.lr = 0.05;
  expect_naive_numbers(setting, 9);
}

TEST(LocalSteps, of_adamw_then_nesterov_are_those_of_loops_in_double) {
  Setting setting = local_setting(6, 2, 4, OuterStep::kNesterov);
  setting.optimizer.epsilon = 1e-2;  // else the sign of a gradient near zero decides
  setting.parallel.accumulate = 2;
  expect_naive_numbers(setting, 12);
}

TEST(LocalSteps, of_one_lane_each_then_nesterov_are_those_of_loops_in_double) {
  Setting setting = local_setting(5, 5, 2, OuterStep::kNesterov);
  setting.parallel.outer_lr = 1.2;
  setting.parallel.outer_momentum = 0.5;
  setting.optimizer.kind = optim::Kind::kSgd;
  setting.optimizer.clip = 0;
  expect_naive_numbers(setting, 6);
}

// The mean of parameters that have each moved by lr times a gradient is the step along the mean.
TEST(LocalSteps, of_sgd_that_meet_every_step_are_replicated) {
  const auto self = comm::make_self_communicator();
  Setting setting = local_setting(8, 4, 1, OuterStep::kAverage);
  setting.optimizer.kind = optim::Kind::kSgd;
  setting.optimizer.clip = 0;
  SmallRun local(*self, setting);
  setting.parallel.kind = Kind::kReplicated;
  SmallRun replicated(*self, setting);
  local.go_to(8);
  replicated.go_to(8);
  const std::vector<float> expected = replicated.values("parameters");
  EXPECT_TRUE(largest_difference(local.values("parameters"),
                                 Values(expected.begin(), expected.end())) <= 1e-6);
}

}  // namespace
}  // namespace lockstep::parallel::test
