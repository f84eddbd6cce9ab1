// The words of the plan on jobs and machines made by hand. What a step takes is a formula of this
// file, so that each number in a sentence can be worked out here.
#include "lockstep/plan/advice.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"
#include "lockstep/core/units.h"

namespace lockstep::plan {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr double kGiB = 1LL << 30;

// A step: arithmetic by the lanes of the fullest rank, then 8 bytes a parameter to the others. With
// replicated a rank holds 16 bytes a parameter, a stage of sharding divides 8, 12 or all 16.
Prediction formula(const Job& job, const Machine& machine, const Layout& layout,
                   const parallel::Options& parallel) {
  if (layout.ranks > job.lanes) throw UserError("{} ranks", layout.ranks);
  Prediction p;
  p.layout = layout, p.parallel = parallel, p.lanes = job.lanes, p.batch = job.batch;
  const auto ranks = static_cast<double>(layout.ranks);
  const auto parameters = static_cast<double>(job.parameters);
  const double rate = job.precision == "bf16" ? machine.device.bf16 : machine.device.fp32;
  double flops = 0;
  for (const JobOp& op : job.ops) flops += op.forward_flops + op.backward_flops;
  const double lane = static_cast<double>(job.accumulate) * flops / rate;
  const auto most = static_cast<double>((job.lanes + layout.ranks - 1) / layout.ranks);
  p.step.compute = most * lane;
  if (layout.ranks > 1) {
    const Level& level = layout.nodes() > 1 ? machine.levels.back() : machine.levels.front();
    p.step.exposed = level.latency + 8 * parameters / level.bandwidth;
    p.bytes_sent = 8 * parameters;
  }
  p.step.data = machine.files.read > 0
                    ? static_cast<double>(job.batch) * job.data.stored_bytes / machine.files.read
                    : 0;
  p.samples_per_second = static_cast<double>(job.batch) / p.step.total();
  p.efficiency = (static_cast<double>(job.lanes) * lane + p.step.data) / (ranks * p.step.total());
  p.seconds = p.step.total() * static_cast<double>(job.steps);
  double each = 16 * parameters;
  if (parallel.kind == parallel::Kind::kSharded) {
    const double shared = parallel.stage == 1 ? 8 : parallel.stage == 2 ? 12 : 16;
    each = (16 - shared) * parameters + shared * parameters / ranks;
  }
  each += job.data.decoded_bytes * static_cast<double>(job.microbatch);
  p.memory = {{"activations", static_cast<std::size_t>(each), "", false}};
  if (job.device == "cpu")
    p.node_memory = each * static_cast<double>(std::min(layout.ranks, layout.ranks_per_node));
  else
    p.rank_memory = each;
  p.fits = std::max(p.node_memory, p.rank_memory) <= machine.device.memory;
  p.bottleneck = p.step.exposed > p.step.compute ? Bottleneck::kNetwork
                 : p.step.data > p.step.compute  ? Bottleneck::kData
                 : job.lanes % layout.ranks != 0 ? Bottleneck::kBalance
                                                 : Bottleneck::kCompute;
  return p;
}

// 8 lanes of 16 samples; a step of 8 x 1e9 flop.
Job small_job() {
  Job job;
  job.name = "job", job.device = "cpu", job.precision = "fp32", job.loss = "softmax_cross_entropy";
  JobOp op;
  op.layer = "linear1", op.kind = "linear";
  op.forward_flops = 3e8, op.backward_flops = 7e8;
  op.first = 0, op.end = 2;
  JobOp relu = op;
  relu.layer = "relu1", relu.kind = "relu", relu.first = relu.end = 0;
  relu.forward_flops = relu.backward_flops = 0;
  job.ops = {op, relu, op};
  job.ops[0].forward_flops = job.ops[0].backward_flops = 0;
  job.parameters = job.flat_elements = 1'000'000;
  job.batch = 128, job.lanes = 8, job.microbatch = 16;
  job.steps = 1000, job.steps_per_epoch = 250, job.outputs = 10;
  job.parallel.lanes = 8;
  job.data = {32000, 784, 3136, "", 32000.0 * 784, 784};
  job.mtbf = 150.0 * 86400;
  return job;
}

// 4 cores of 100 GFLOP/s, 16 GiB; any number of such nodes.
Machine cluster() {
  Machine machine;
  machine.name = "cluster";
  machine.device.name = "core", machine.device.kind = "cpu", machine.device.per_node = 4;
  machine.device.memory = 16 * kGiB, machine.device.fp32 = 1e11, machine.device.bf16 = 1e11;
  machine.levels.resize(2);
  machine.levels[0].name = "node", machine.levels[0].members = 4;
  machine.levels[0].latency = 1e-6, machine.levels[0].bandwidth = 1e10;
  machine.levels[1].name = "network";
  machine.levels[1].latency = 1e-5, machine.levels[1].bandwidth = 1e10;
  return machine;
}

Advice advice_of(const Job& job, const Machine& machine, AdviceOptions options = {}) {
  options.predict = formula;
  Advice advice = advise(job, machine, options);
  EXPECT_LE(advice.sentences.size(), 10U);
  for (const std::string& sentence : advice.sentences) {
    EXPECT_TRUE(sentence.ends_with('.')) << sentence;
    EXPECT_FALSE(std::islower(static_cast<unsigned char>(sentence[0]))) << sentence;
  }
  return advice;
}
std::string all_of(const Advice& advice) {
  return fmt::format("{}", fmt::join(advice.sentences, "\n"));
}

TEST(Advice, a_run_of_a_minute_is_for_one_process) {
  const Advice advice = advice_of(small_job(), cluster());
  EXPECT_TRUE(advice.one_is_enough);
  EXPECT_EQ(advice.ranks, 1);
  // 1000 steps of 8 x 1e9 flop at 1e11 flop/s.
  EXPECT_THAT(advice.sentences[0], StartsWith("One process is enough: the run takes 1 min 20 s"));
  EXPECT_THAT(all_of(advice), HasSubstr("an epoch is 250 steps of 80.0 ms, 20.0 s"));
  EXPECT_THAT(all_of(advice), HasSubstr("32,000 samples of 784 numbers"));
  EXPECT_THAT(all_of(advice), HasSubstr("fit in memory"));
}

TEST(Advice, a_long_run_takes_the_most_ranks_that_work_at_80_percent) {
  Job job = small_job();
  job.steps = 100'000;
  job.lanes = job.parallel.lanes = 64, job.batch = 1024;
  job.parameters = 20'000'000;
  const Machine machine = cluster();
  std::int64_t most = 1;
  for (std::int64_t ranks = 1; ranks <= 64; ranks *= 2)
    if (formula(job, machine, {ranks, std::min<std::int64_t>(4, ranks)}, job.parallel).efficiency >=
        0.8)
      most = ranks;
  ASSERT_GT(most, 1);
  ASSERT_LT(most, 64);
  const Advice advice = advice_of(job, machine);
  EXPECT_FALSE(advice.one_is_enough);
  EXPECT_EQ(advice.ranks, most);
  EXPECT_EQ(advice.ranks_per_node, 4);
  EXPECT_THAT(
      advice.sentences[0],
      AllOf(StartsWith(fmt::format("Take {} ranks on {} nodes, replicated", most, most / 4)),
            HasSubstr("one takes 17 h 46 min")));
  EXPECT_THAT(all_of(advice),
              HasSubstr(fmt::format("{} ranks on {} nodes would take", 2 * most, most / 2)));
}

TEST(Advice, one_is_best_where_two_would_mostly_wait) {
  Job job = small_job();
  job.steps = 100'000;
  job.parameters = 2'000'000'000;
  Machine machine = cluster();
  machine.device.memory = 1e3 * kGiB;
  const Advice advice = advice_of(job, machine);
  EXPECT_TRUE(advice.one_is_enough);
  EXPECT_THAT(advice.sentences[0],
              StartsWith("One process is best, though the run takes 2 h 13 min"));
}

TEST(Advice, linear_regression_has_a_closed_form) {
  Job job = small_job();
  job.ops.resize(1);
  job.ops[0].forward_flops = 1e9;
  job.loss = "mse", job.outputs = 1;
  job.data = {1'000'000, 36, 36, "", 36e6, 9};
  job.steps = 1'000'000;  // however long its training
  const Advice advice = advice_of(job, cluster());
  EXPECT_TRUE(advice.one_is_enough);
  EXPECT_THAT(advice.sentences[0], StartsWith("One process is enough, and least squares takes"));
  // n p (p + 1) + 2 n p + p^3 / 3 + 2 p^2 with p = 10: 1.3e8; at half of 1e11 a second.
  EXPECT_THAT(advice.sentences[0], HasSubstr("takes 2.6 ms"));
  EXPECT_THAT(advice.sentences[1], HasSubstr("1,000,000 rows x 10 columns, 130 MFLOP"));

  job.loss = "softmax_cross_entropy";
  EXPECT_THAT(all_of(advice_of(job, cluster())),
              AllOf(HasSubstr("convex"), HasSubstr("no closed form")));
  job.data.values = 1e6;  // a system of 8 TB
  job.loss = "mse";
  EXPECT_THAT(all_of(advice_of(job, cluster())), Not(HasSubstr("closed form")));
  job = small_job();  // two layers
  job.loss = "mse";
  EXPECT_THAT(all_of(advice_of(job, cluster())), Not(HasSubstr("closed form")));
}

// 4e9 parameters: 60 GiB replicated; on 8 ranks 34 at stage 1, 20 at stage 2, 7 at stage 3.
TEST(Advice, shards_as_little_as_fits) {
  Job job = small_job();
  job.device = "cuda", job.steps = 10'000'000, job.parameters = 4'000'000'000;
  Machine machine = cluster();
  machine.device.kind = "cuda";
  machine.levels[0].bandwidth = machine.levels[1].bandwidth = 1e14;
  const struct {
    double memory;
    int stage;
  } cases[] = {{64, 0}, {40, 1}, {24, 2}, {10, 3}};
  for (const auto& c : cases) {
    machine.device.memory = c.memory * kGiB;
    const Advice advice = advice_of(job, machine);
    EXPECT_EQ(advice.ranks, 8);
    if (c.stage == 0) {
      EXPECT_EQ(advice.parallel.kind, parallel::Kind::kReplicated);
      continue;
    }
    EXPECT_EQ(advice.parallel.kind, parallel::Kind::kSharded) << c.memory;
    EXPECT_EQ(advice.parallel.stage, c.stage);
    EXPECT_THAT(advice.sentences[0], HasSubstr("one cannot hold it (59.6"));
    EXPECT_THAT(all_of(advice),
                HasSubstr(fmt::format("Sharded, stage {} is the least that fits", c.stage)));
  }
}

TEST(Advice, says_what_would_fit_where_nothing_does) {
  Job job = small_job();
  job.parameters = 1000;
  job.data.decoded_bytes = 2 * kGiB;  // for each sample of the microbatch
  AdviceOptions options;
  options.remade = [&](const std::vector<std::string>& keys) {
    Job other = job;
    for (const std::string& key : keys) {
      if (key == "train.recompute=block") throw UserError("no blocks");
      if (key == "train.accumulate=4") other.accumulate = 4, other.microbatch = 4;
    }
    return other;
  };
  Advice advice = advice_of(job, cluster(), options);
  EXPECT_FALSE(advice.one_is_enough);
  EXPECT_THAT(advice.sentences[0],
              AllOf(StartsWith("It does not fit"), HasSubstr("32.00 GiB of a node's 16.00 GiB")));
  EXPECT_THAT(advice.sentences[1], AllOf(HasSubstr("What would fit: train.accumulate=4"),
                                         HasSubstr("8.00 GiB"), Not(HasSubstr("recompute"))));
  EXPECT_EQ(advice.ranks, 1);

  options.remade = nullptr;
  EXPECT_THAT(advice_of(job, cluster(), options).sentences[1],
              HasSubstr("a device or node with 32.00 GiB"));
}

TEST(Advice, ends_within_the_time_asked_for) {
  Job job = small_job();
  job.steps = 100'000;  // 2 h 13 min on one, 1 h 7 min on two
  AdviceOptions options;
  options.within = 2400;
  Advice advice = advice_of(job, cluster(), options);
  EXPECT_EQ(advice.ranks, 4);
  EXPECT_THAT(advice.sentences[0], AllOf(StartsWith("Take 4 ranks on one node"),
                                         HasSubstr("within the 40 min 00 s asked for")));
  options.within = 9000;
  EXPECT_EQ(advice_of(job, cluster(), options).ranks, 1);
  options.within = 60;
  advice = advice_of(job, cluster(), options);
  EXPECT_THAT(advice.sentences[0],
              AllOf(StartsWith("No number of ranks ends the run within 1 min 00 s"),
                    HasSubstr("train.lanes = 8 allows no more than 8 ranks")));
}

TEST(Advice, names_a_change_only_where_its_prediction_gains) {
  const Job job = small_job();
  Machine machine = cluster();
  AdviceOptions options;
  options.remade = [&](const std::vector<std::string>& keys) {
    Job other = job;
    if (keys.front() == "train.precision=bf16") other.precision = "bf16";
    return other;
  };
  machine.device.bf16 = 3e11;
  EXPECT_THAT(all_of(advice_of(job, machine, options)),
              HasSubstr("What would help: train.precision=bf16 (3.00 times the samples/s"));
  machine.device.bf16 = 1.01e11;
  EXPECT_THAT(all_of(advice_of(job, machine, options)),
              AllOf(Not(HasSubstr("What would help")),
                    ContainsRegex("Tried without a gain of 5 %: .*bf16")));
  machine.device.bf16 = 0;  // not known
  EXPECT_THAT(all_of(advice_of(job, machine, options)), Not(HasSubstr("bf16")));
}

TEST(Advice, uneven_lanes_are_named_with_the_count_that_is_even) {
  AdviceOptions options;
  options.asked = Layout{3, 3};
  const Advice advice = advice_of(small_job(), cluster(), options);
  // 3 lanes where 8/3 would be even: 1 - 8/9 of the compute.
  EXPECT_THAT(all_of(advice),
              HasSubstr("On 3 ranks on one node, uneven lanes are the bottleneck: 11 % of a step"));
  EXPECT_THAT(all_of(advice), HasSubstr("8 lanes on 3 ranks leave some with 3 and others with 2"));
  EXPECT_THAT(all_of(advice), HasSubstr("What would help: 4 ranks (1."));
}

TEST(Advice, a_network_that_holds_a_step_back_is_named_with_what_a_better_one_brings) {
  Job job = small_job();
  job.parameters = 100'000'000;
  Machine machine = cluster();
  machine.levels[1].bandwidth = 1e9;
  AdviceOptions options;
  options.asked = Layout{8, 4};
  const Prediction now = formula(job, machine, {8, 4}, job.parallel);
  Machine better = machine;
  better.levels[1].bandwidth *= 4;
  const double ratio = now.step.total() / formula(job, better, {8, 4}, job.parallel).step.total();
  const std::string text = all_of(advice_of(job, machine, options));
  EXPECT_THAT(text, HasSubstr("waiting for other ranks is the bottleneck"));
  EXPECT_THAT(text, HasSubstr(fmt::format(
                        "a network of 4 times the bandwidth ({:.2f} times the samples/s)", ratio)));
  EXPECT_THAT(text, Not(HasSubstr("of the latency (")));  // 10 us are nothing here
}

TEST(Advice, reading_that_holds_a_step_back_is_named) {
  Machine machine = cluster();
  machine.files.read = 1e5;
  EXPECT_THAT(all_of(advice_of(small_job(), machine)),
              AllOf(HasSubstr("Waiting for samples is the bottleneck"),
                    HasSubstr("files read 4 times as quickly")));
}

TEST(Advice, more_lanes_are_looked_at_where_they_end_the_count) {
  Job job = small_job();
  job.steps = 1'000'000;
  AdviceOptions options;
  options.remade = [&](const std::vector<std::string>& keys) {
    Job other = job;
    for (std::int64_t lanes = 16; lanes <= 128; lanes *= 2) {
      if (keys.front() != fmt::format("train.lanes={}", lanes)) continue;
      other.lanes = other.parallel.lanes = lanes;
      other.microbatch = 128 / lanes;
      for (JobOp& op : other.ops)
        op.forward_flops *= 8.0 / double(lanes), op.backward_flops *= 8.0 / double(lanes);
    }
    return other;
  };
  const Advice advice = advice_of(job, cluster(), options);
  EXPECT_EQ(advice.ranks, 8);
  // At 16 lanes 5 ms of work and 0.81 ms of messages; at 32 less than 80 %.
  EXPECT_THAT(all_of(advice),
              HasSubstr("with train.lanes=16 (other bits) 16 ranks on 4 nodes would take"));
}

TEST(Advice, without_a_machine_sizes_are_told_and_no_times_of_it) {
  Job job = small_job();
  job.memory = [](const Layout&, const parallel::Options&) {
    return std::vector<nn::LedgerRow>{{"parameters", 3 << 20, "", false},
                                      {"activations", 1 << 20, "", false}};
  };
  const Advice advice = advise_without_times(job);
  EXPECT_TRUE(advice.one_is_enough);  // 8e12 flop
  EXPECT_THAT(advice.sentences[0],
              AllOf(HasSubstr("8 TFLOP"), HasSubstr("2 min 40 s at 50 GFLOP/s")));
  EXPECT_THAT(all_of(advice),
              AllOf(HasSubstr("one rank needs 4.00 MiB"), HasSubstr("bench calibrate")));
  job.steps = 1'000'000;
  EXPECT_FALSE(advise_without_times(job).one_is_enough);
}

}  // namespace
}  // namespace lockstep::plan
