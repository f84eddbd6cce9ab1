// Predictions of a job whose numbers are round, against closed forms worked out here.
#include "lockstep/plan/predict.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"
#include "lockstep/plan/tables.h"
#include "plan/rank_work.h"
#include "plan/traffic.h"
#include "train/save_policy.h"

namespace lockstep::plan {
namespace {

constexpr std::int64_t kLayers = 8, kElements = 1 << 20;
constexpr double kLayerBytes = 4.0 * kElements, kGradient = kLayers * kLayerBytes;

// Each layer takes 1 ms forward and 2 ms backward at 1 GFLOP/s; each is a bucket.
Job a_job(std::int64_t lanes) {
  Job job;
  job.device = "cpu";
  job.precision = "fp32";
  for (int i = 0; i < kLayers; ++i) {
    JobOp op;
    op.kind = "linear";
    op.forward_flops = 1e6;
    op.backward_flops = 2e6;
    op.first = i;
    op.end = i + 1;
    job.ops.push_back(op);
  }
  for (int i = kLayers; i-- > 0;)
    job.buckets.push_back({i, i + 1, {i * kElements, (i + 1) * kElements}});
  job.parameters = job.flat_elements = kLayers * kElements;
  job.optimizer.kind = optim::Kind::kSgd;
  job.optimizer.momentum = 0;
  job.lanes = job.parallel.lanes = lanes;
  job.microbatch = 16;
  job.batch = lanes * job.microbatch;
  job.steps = 1000;
  job.steps_per_epoch = 100;
  job.parallel.bucket_bytes = 1;  // none is joined with another
  job.mtbf = 1e6;
  return job;
}
constexpr double kPass = kLayers * 3e-3;  // forward and backward of a lane

// Memory takes no time unless a test says so, and neither do messages.
Machine a_machine() {
  Machine m;
  m.name = "round numbers";
  m.device.kind = "cpu";
  m.device.fp32 = 1e9;
  m.device.memory_bandwidth = 1e30;
  m.levels.resize(2);
  m.levels[0].bandwidth = m.levels[1].bandwidth = 1e30;
  return m;
}

parallel::Options sharded(std::int64_t stage, const Job& job) {
  parallel::Options options = job.parallel;
  options.kind = parallel::Kind::kSharded;
  options.stage = stage;
  return options;
}

Prediction predicted(const Job& job, const Machine& machine, std::int64_t ranks,
                     std::int64_t ranks_per_node) {
  return predict(job, machine, {ranks, ranks_per_node}, job.parallel);
}

TEST(Predict, a_rank_runs_its_lanes_one_after_the_other) {
  const Job job = a_job(8);
  for (const std::int64_t ranks : {1, 2, 4, 8}) {
    const Prediction p = predicted(job, a_machine(), ranks, ranks);
    EXPECT_NEAR(p.step.total(), 8.0 / static_cast<double>(ranks) * kPass, 1e-9);
    EXPECT_NEAR(p.efficiency, 1, 1e-9);
    EXPECT_NEAR(p.samples_per_second, static_cast<double>(job.batch) / p.step.total(), 1e-6);
    EXPECT_EQ(p.bottleneck, Bottleneck::kCompute);
  }
}

TEST(Predict, the_rank_with_most_lanes_decides) {
  const Prediction p = predicted(a_job(8), a_machine(), 5, 8);
  EXPECT_NEAR(p.step.compute, 2 * kPass, 1e-9);
  EXPECT_NEAR(p.efficiency, 0.8, 1e-9);
  const Prediction worse = predicted(a_job(9), a_machine(), 8, 8);  // one rank has two
  EXPECT_NEAR(worse.step.compute, 2 * kPass, 1e-9);
  EXPECT_NEAR(worse.efficiency, 9.0 / 16, 1e-9);
}

TEST(Predict, more_ranks_than_lanes_are_refused) {
  EXPECT_THROW(predicted(a_job(4), a_machine(), 5, 8), UserError);
}

TEST(Predict, ranks_that_share_a_core_take_turns) {
  Machine machine = a_machine();
  machine.device.per_node = 2;
  EXPECT_NEAR(predicted(a_job(8), machine, 8, 8).step.compute, 4 * kPass, 1e-9);
}

// Three leaves are added to the first on one rank; on two ranks one each, and their sums by halves.
TEST(Predict, lanes_beyond_the_first_cost_a_pass_over_the_gradient) {
  Machine machine = a_machine();
  machine.device.memory_bandwidth = 3e9;  // 1 ns a byte of adding
  const Job job = a_job(4);
  const Traffic one = traffic_of(job, {1, 1}, job.parallel, job.buckets);
  EXPECT_EQ(one.merged, 3 * kGradient);
  const Traffic two = traffic_of(job, {2, 2}, job.parallel, job.buckets);
  EXPECT_EQ(two.merged, kGradient);
  EXPECT_EQ(two.buckets.front().part, kLayerBytes / 2);
  // The squares of the sums are a third of an addition.
  EXPECT_NEAR(predicted(job, machine, 1, 1).step.fold, (3 + 1.0 / 3) * kGradient * 1e-9, 1e-9);
  EXPECT_NEAR(predicted(job, machine, 2, 2).step.fold, (1 + 0.5 + 0.5 / 3) * kGradient * 1e-9,
              1e-9);
}

// Of four nodes of one rank: a rank sends three quarters of its gradient to the owners, and its
// quarter of the sum to three.
TEST(Predict, a_gradient_goes_to_its_owners_and_comes_back) {
  const Job job = a_job(4);
  const Traffic traffic = traffic_of(job, {4, 1}, job.parallel, job.buckets);
  double bytes = 0;
  for (const BucketTraffic& b : traffic.buckets) bytes += b.pieces.bytes + b.results.bytes;
  EXPECT_NEAR(bytes, 2 * kGradient * 3 / 4, 1);
  EXPECT_EQ(traffic.buckets.front().shard, 3 * kLayerBytes / 4);
  // Two nodes of two ranks: a rank sends half of its half, and a quarter to the other node.
  const Traffic nodes = traffic_of(job, {4, 2}, job.parallel, job.buckets);
  EXPECT_EQ(nodes.buckets.front().pieces.bytes, kLayerBytes / 4);
  EXPECT_EQ(nodes.buckets.front().results.bytes, kLayerBytes / 4);
  EXPECT_EQ(nodes.buckets.front().part, kLayerBytes / 2);
}

TEST(Predict, stages_share_out_what_travels) {
  const Job job = a_job(8);
  const Layout layout{4, 1};
  const Traffic one = traffic_of(job, layout, sharded(1, job), job.buckets);
  EXPECT_EQ(one.rounds, 1);
  EXPECT_EQ(one.buckets.front().results.bytes, 0);
  EXPECT_NEAR(one.parameters.bytes, kGradient / 4 * 3, 1);
  const Traffic two = traffic_of(job, layout, sharded(2, job), job.buckets);
  EXPECT_EQ(two.rounds, 2);  // of four lanes
  EXPECT_EQ(two.merged, 0);
  EXPECT_EQ(two.lanes, 2);
  const Traffic three = traffic_of(job, layout, sharded(3, job), job.buckets);
  EXPECT_EQ(three.parameters.bytes, 0);
  EXPECT_NEAR(three.gathered.bytes, kGradient / 4 * 3, 1);
  // Every lane brings all parameters forward and backward: more than stages 1 and 2 send.
  EXPECT_GT(three.sent(), two.sent());
  EXPECT_GT(two.sent(), one.sent());
}

// The last bucket is complete when backward ends: it alone is waited for where messages take less
// than the layers between; with a slow network all of them are.
TEST(Predict, messages_hide_behind_backward) {
  const Job job = a_job(2);
  Machine machine = a_machine();
  const auto exposed = [&] { return predicted(job, machine, 2, 1).step.exposed; };
  const double free = exposed();
  machine.levels[1].bandwidth = kLayerBytes / 1e-3;  // half of a bucket there, half back: 1 ms
  EXPECT_NEAR(exposed() - free, 1e-3, 2e-5);
  EXPECT_GT(predicted(job, machine, 2, 1).step.hidden, 6e-3);
  machine.levels[1].bandwidth = kLayerBytes / 10e-3;
  // From the first bucket's end, 2 ms into backward's 16 ms, 80 ms of messages.
  EXPECT_NEAR(exposed() - free, 2e-3 + 80e-3 - 16e-3, 2e-4);
  EXPECT_EQ(predicted(job, machine, 2, 1).bottleneck, Bottleneck::kNetwork);
}

TEST(Predict, ranks_of_a_node_share_its_adapter) {
  const Job job = a_job(16);
  Machine machine = a_machine();
  machine.levels[1].bandwidth = kLayerBytes / 10e-3;
  const double apart = predicted(job, machine, 16, 8).step.exposed;
  machine.levels[1].unit_bandwidth = machine.levels[1].bandwidth;
  EXPECT_GT(predicted(job, machine, 16, 8).step.exposed, 4 * apart);
}

TEST(Predict, a_machine_without_a_network_is_one_node) {
  Machine machine = a_machine();
  machine.levels.resize(1);
  EXPECT_NO_THROW(predicted(a_job(4), machine, 4, 4));
  EXPECT_THROW(predicted(a_job(4), machine, 4, 2), UserError);
}

TEST(Predict, reading_shows_where_it_takes_longer_than_the_step) {
  Job job = a_job(2);
  job.data.stored_bytes = 1e6;
  Machine machine = a_machine();
  const double step = predicted(job, machine, 1, 1).step.total();
  machine.files.read = 32e6 / (2 * step);  // twice as long as the step
  const Prediction p = predicted(job, machine, 1, 1);
  EXPECT_NEAR(p.step.data, step, 1e-9);
  machine.files.read = 32e6 / (3 * step);
  EXPECT_EQ(predicted(job, machine, 1, 1).bottleneck, Bottleneck::kData);
  machine.files.read = 64e6 / step;
  EXPECT_EQ(predicted(job, machine, 1, 1).step.data, 0);
}

TEST(Predict, the_update_is_shared_out_by_sharding) {
  const Job job = a_job(4);
  Machine machine = a_machine();
  machine.device.memory_bandwidth = 12.0 * static_cast<double>(job.parameters) / 1e-3;
  const auto update = [&](const parallel::Options& options) {
    return predict(job, machine, {4, 4}, options).step.compute - kPass;
  };
  EXPECT_NEAR(update(job.parallel), 1e-3, 1e-6);  // 12 bytes a parameter of sgd
  EXPECT_NEAR(update(sharded(1, job)), 0.25e-3, 1e-6);
}

TEST(Predict, a_run_is_its_steps_evaluations_and_checkpoints) {
  Job job = a_job(2);
  EXPECT_NEAR(predicted(job, a_machine(), 1, 1).seconds, 1000 * 2 * kPass, 1e-6);
  job.evaluated = 3200;  // 200 microbatches forward, on two ranks
  EXPECT_NEAR(predicted(job, a_machine(), 2, 2).seconds, 1000 * kPass + 100 * 8e-3, 1e-6);
  job.checkpoint_bytes = 1e9;
  job.checkpoint_every = "500steps";
  Machine machine = a_machine();
  machine.files.write = 1e8;
  const Prediction p = predicted(job, machine, 2, 2);
  EXPECT_NEAR(p.checkpoint_seconds, 10, 1e-9);
  EXPECT_NEAR(p.checkpoint_interval, train::best_interval(10, 1e6), 1e-9);
  EXPECT_NEAR(p.checkpoint_interval, std::sqrt(2 * 10 * 1e6), 20);  // Young's first term
  EXPECT_NEAR(p.seconds, 1000 * kPass + 100 * 8e-3 + 10, 1e-6);    // the last is waited for
  EXPECT_NEAR(predicted(job, machine, 2, 1).checkpoint_seconds, 5, 1e-9);
}

TEST(Scaling, goes_on_to_sixteen_thousand_ranks_and_gets_no_better) {
  Machine machine = a_machine();
  machine.device.memory_bandwidth = 20e9;
  machine.levels[1] = {.name = "network", .latency = 2e-6, .overhead = 5e-7, .gap = 1e-6,
                       .bandwidth = 1e10, .unit_bandwidth = 2e10};
  machine.reliability.jitter = 0.01;
  const Job job = a_job(16);
  for (const parallel::Options& way : {job.parallel, sharded(1, job), sharded(2, job), sharded(3, job)}) {
    const auto series = scaling(job, machine, Scaling::kWeak, 16384, 16, way);
    ASSERT_EQ(series.size(), 15U);
    EXPECT_EQ(series.front().efficiency, 1);
    for (std::size_t i = 1; i < series.size(); ++i) {
      const Prediction &p = series[i], &before = series[i - 1];
      EXPECT_EQ(p.batch, 16 * p.layout.ranks);
      // On one node ranks share the squares, and with shards the update: there it may gain.
      if (p.layout.nodes() > 1) {
        EXPECT_LE(p.efficiency, before.efficiency) << p.layout.ranks;
      }
      EXPECT_LT(p.efficiency, 1.25);
      EXPECT_GT(p.samples_per_second, 0);
      const Phases& s = p.step;
      EXPECT_NEAR(s.total(), s.compute + s.fold + s.exposed + s.data + s.other, 1e-12);
      EXPECT_GE(std::min({s.compute, s.fold, s.exposed, s.hidden, s.data}), 0);
    }
  }
  const auto strong = scaling(job, machine, Scaling::kStrong, 16384, 16, job.parallel);
  ASSERT_EQ(strong.size(), 5U);  // as many ranks as lanes
  for (const Prediction& p : strong) EXPECT_EQ(p.batch, job.batch);
}

TEST(Buckets, are_joined_up_to_the_size_asked_for) {
  const Job job = a_job(1);
  const auto two = joined(job.buckets, 2 * static_cast<std::int64_t>(kLayerBytes));
  ASSERT_EQ(two.size(), 4U);
  EXPECT_EQ(two.front().first, 6);
  EXPECT_EQ(two.front().end, 8);
  EXPECT_EQ(two.front().range.begin, 6 * kElements);
  EXPECT_EQ(two.back().range.begin, 0);
  EXPECT_EQ(joined(job.buckets, 1).size(), job.buckets.size());
}

TEST(Tables, fit_a_hundred_columns) {
  const Job job = a_job(16);
  const Machine machine = a_machine();
  std::string text = job_text(job);
  const auto ways = plan_ways(job, &machine, {16, 16});
  text += memory_text(job, ways) + steps_text(job, ways);
  text += scaling_text(job, scaling(job, machine, Scaling::kWeak, 16384, 16, job.parallel),
                       Scaling::kWeak);
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    EXPECT_LE(end - begin, 100U) << text.substr(begin, end - begin);
  EXPECT_NE(text.find("stage 3"), std::string::npos);
  EXPECT_NE(text.find("16384"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::plan
