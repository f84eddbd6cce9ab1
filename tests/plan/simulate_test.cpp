#include "lockstep/plan/simulate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lockstep/core/error.h"
#include "lockstep/train/timeline.h"
#include "plan/simulate_failures.h"
#include "plan/simulate_network.h"
#include "plan/simulate_ring.h"

namespace lockstep::plan {
namespace {

// A linear stack: `layers` ops of a million parameters, each its own bucket.
Job a_job(std::int64_t lanes, int layers = 8) {
  Job job;
  job.name = "made by hand";
  job.device = "cpu";
  job.precision = "fp32";
  constexpr std::int64_t kElements = 1 << 20;
  for (int i = 0; i < layers; ++i) {
    JobOp op;
    op.layer = "layer" + std::to_string(i);
    op.kind = "linear";
    op.size = {64, 1024, 1024};
    op.forward_flops = 2.0 * 64 * kElements;
    op.backward_flops = 2 * op.forward_flops;
    op.first = i;
    op.end = i + 1;
    job.ops.push_back(op);
  }
  for (int i = layers; i-- > 0;)
    job.buckets.push_back({i, i + 1, {i * kElements, (i + 1) * kElements}});
  job.parameters = job.flat_elements = layers * kElements;
  job.lanes = lanes;
  job.microbatch = 64;
  job.batch = lanes * job.microbatch;
  job.steps = 1000;
  job.steps_per_epoch = 100;
  job.parallel.lanes = lanes;
  job.parallel.bucket_bytes = kElements * 4;
  return job;
}

Machine a_machine() {
  Machine m;
  m.name = "made by hand";
  m.device.kind = "cpu";
  m.device.per_node = 64;
  m.device.fp32 = 100e9;
  m.device.memory_bandwidth = 20e9;
  m.levels.resize(2);
  m.levels[0] = {.name = "node", .latency = 5e-7, .overhead = 1e-7, .bandwidth = 8e9, .flag = 2e-7};
  m.levels[1] = {.name = "network",
                 .latency = 3e-6,
                 .overhead = 1e-6,
                 .gap = 2e-6,
                 .bandwidth = 2e9,
                 .unit_bandwidth = 4e9};
  return m;
}

double mean(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

TEST(Network, one_message_takes_loggp) {
  const Machine machine = a_machine();
  Network network(machine, {2, 1}, 2);
  const auto flight = network.send(0, 1.0, 1, 1e6);
  const double expected = 1.0 + 3e-6 + 2 * 1e-6 + 1e6 / 2e9;
  EXPECT_NEAR(flight.last, expected, 1e-12);
  EXPECT_NEAR(network.receive(1, flight.first, flight.last, 1e6), expected, 1e-12);
}

TEST(Network, small_messages_follow_each_other_after_the_gap) {
  Network network(a_machine(), {8, 1}, 8);
  const auto flight = network.send(0, 0, 7, 7 * 8);
  EXPECT_NEAR(flight.last, 1e-6 + 6 * 2e-6 + 8 / 2e9 + 3e-6 + 1e-6, 1e-12);
}

TEST(Network, ranks_of_a_node_share_its_adapters) {
  Network network(a_machine(), {16, 8}, 2);
  double last = 0;
  for (int rank = 0; rank < 8; ++rank) last = std::max(last, network.send(rank, 0, 1, 1e7).last);
  EXPECT_NEAR(last, 8 * 1e7 / 4e9 + 5e-6, 1e-7);
}

TEST(Network, what_stays_in_a_rack_does_not_use_its_uplink) {
  Machine machine = a_machine();
  machine.levels.insert(machine.levels.begin() + 1, machine.levels[1]);
  machine.levels[1].members = 4;
  machine.levels[2].unit_bandwidth = 1e9;
  Network network(machine, {8, 1}, 8);
  // Of what leaves a node 4 of 7 parts leave its rack, whose 4 nodes share 1e9 bytes/s.
  double last = 0;
  for (int rank = 0; rank < 4; ++rank) last = std::max(last, network.send(rank, 0, 7, 7e6).last);
  EXPECT_NEAR(last, 4 * 4e6 / 1e9 + 5e-6, 1e-7);
  Network rack(machine, {4, 1}, 4);
  EXPECT_NEAR(rack.send(0, 0, 3, 3e6).last, 3e6 / 2e9 + 5e-6, 1e-7);
}

TEST(Ring, takes_its_closed_form_where_all_hops_are_alike) {
  const Machine machine = a_machine();
  for (const std::int64_t n : {2, 3, 7, 8, 32}) {
    const double bytes = 1e7 * static_cast<double>(n), chunk = 1e7;
    const Layout layout{n, n};
    const double hop = 5e-7 + 2 * 1e-7 + chunk / 8e9;
    EXPECT_NEAR(ring_seconds(machine, layout, bytes, 0), 2 * static_cast<double>(n - 1) * hop, 1e-9)
        << n;
    EXPECT_NEAR(ring_seconds(machine, layout, bytes, 1e-10),
                static_cast<double>(n - 1) * (2 * hop + chunk * 1e-10), 1e-9);
  }
}

// Message by message, every rank for itself.
double ring_by_hand(const Machine& machine, const Layout& layout, double bytes) {
  const std::int64_t n = layout.ranks;
  const double chunk = bytes / static_cast<double>(n);
  std::vector<double> done(n, 0), free(n, 0), next(n, 0);
  for (std::int64_t step = 0; step < 2 * (n - 1); ++step) {
    for (std::int64_t r = 0; r < n; ++r) {
      const std::int64_t from = (r + n - 1) % n;
      const bool inside = r / layout.ranks_per_node == from / layout.ranks_per_node;
      const Level& level = machine.levels[inside ? 0 : 1];
      const double start = std::max(done[from] + level.overhead, free[r]);
      free[r] = start + std::max(level.gap, chunk / level.bandwidth);
      next[r] = start + chunk / level.bandwidth + level.latency + level.overhead;
    }
    done = next;
  }
  return *std::max_element(done.begin(), done.end());
}

TEST(Ring, one_node_stands_for_all) {
  const Machine machine = a_machine();
  for (const Layout layout : {Layout{8, 2}, Layout{12, 4}, Layout{16, 1}, Layout{64, 8}}) {
    EXPECT_NEAR(ring_seconds(machine, layout, 3e7, 0), ring_by_hand(machine, layout, 3e7), 1e-9);
    EXPECT_NEAR(ring_seconds(machine, layout, 3e3, 0), ring_by_hand(machine, layout, 3e3), 1e-9);
  }
}

TEST(Ring, of_two_levels_is_three_rings) {
  const Machine machine = a_machine();
  const Layout layout{32, 4};
  const double bytes = 64e6;
  const double in = 3 * (5e-7 + 2e-7 + bytes / 4 / 8e9);
  const double out = 14 * (3e-6 + 2e-6 + bytes / 32 / 1e9);  // four rings share 4e9
  EXPECT_NEAR(two_level_ring_seconds(machine, layout, bytes, 0), 2 * in + out, 1e-9);
}

TEST(Simulate, the_same_seed_gives_the_same_outcome_and_another_one_another) {
  Machine machine = a_machine();
  machine.reliability.jitter = 0.05;
  machine.reliability.straggler_chance = 0.01;
  machine.reliability.straggler_factor = 2;
  const Job job = a_job(16);
  const Layout layout{16, 4};
  const Simulated a = simulate(job, machine, layout, {.seed = 3});
  const Simulated b = simulate(job, machine, layout, {.seed = 3});
  const Simulated c = simulate(job, machine, layout, {.seed = 4});
  EXPECT_EQ(a.step_seconds, b.step_seconds);
  EXPECT_EQ(a.seconds, b.seconds);
  EXPECT_EQ(train::trace_json(a.rings), train::trace_json(b.rings));
  EXPECT_NE(a.step_seconds, c.step_seconds);
}

struct Case {
  std::int64_t lanes;
  Layout layout;
  parallel::Kind kind;
  std::int64_t stage;
  bool jitter;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.lanes << " lanes, " << c.layout.ranks << "/" << c.layout.ranks_per_node << " "
       << name_of(c.kind) << " " << c.stage << (c.jitter ? " jitter" : "");
}
using parallel::Kind;
const Case kCases[] = {
    {1, {1, 1}, Kind::kReplicated, 0, false},   {8, {1, 1}, Kind::kReplicated, 0, false},
    {8, {2, 2}, Kind::kReplicated, 0, false},   {8, {8, 8}, Kind::kReplicated, 0, true},
    {8, {3, 3}, Kind::kReplicated, 0, true},    {16, {16, 4}, Kind::kReplicated, 0, false},
    {16, {16, 4}, Kind::kReplicated, 0, true},  {16, {7, 3}, Kind::kReplicated, 0, true},
    {64, {32, 8}, Kind::kReplicated, 0, false}, {16, {16, 4}, Kind::kSharded, 1, false},
    {16, {8, 4}, Kind::kSharded, 2, true},      {16, {8, 8}, Kind::kSharded, 2, false},
    {16, {8, 4}, Kind::kSharded, 3, false},     {12, {8, 3}, Kind::kSharded, 3, true},
};
class SimulateCases : public testing::TestWithParam<Case> {
 protected:
  Job job_ = [this] {
    Job job = a_job(GetParam().lanes);
    job.parallel.kind = GetParam().kind;
    job.parallel.stage = GetParam().stage;
    return job;
  }();
  Machine machine_ = [this] {
    Machine machine = a_machine();
    machine.reliability.jitter = GetParam().jitter ? 0.03 : 0;
    return machine;
  }();
};
INSTANTIATE_TEST_SUITE_P(all, SimulateCases, testing::ValuesIn(kCases));

TEST_P(SimulateCases, phases_add_up_to_the_step) {
  for (const char* device : {"cpu", "cuda"}) {
    machine_.device.kind = device;
    const Simulated out = simulate(job_, machine_, GetParam().layout, {});
    ASSERT_EQ(out.ranks.size(), static_cast<std::size_t>(GetParam().layout.ranks));
    const double step = mean(out.step_seconds);
    for (const Phases& p : out.ranks) {
      EXPECT_NEAR(p.total(), step, (GetParam().jitter ? 0.02 : 1e-9) * step) << device;
      for (const double phase : {p.compute, p.fold, p.exposed, p.hidden, p.data, p.other})
        EXPECT_GE(phase, 0) << device;
    }
  }
}

TEST_P(SimulateCases, is_as_predicted_where_nothing_is_drawn) {
  if (GetParam().jitter) return;
  const Simulated out = simulate(job_, machine_, GetParam().layout, {});
  const Prediction p = predict(job_, machine_, GetParam().layout, job_.parallel);
  EXPECT_NEAR(mean(out.step_seconds), p.step.total(), 0.05 * p.step.total());
  EXPECT_NEAR(out.ranks[0].compute, p.step.compute, 0.05 * p.step.total());
}

TEST(Simulate, ranks_that_are_alike_are_as_if_each_were_played) {
  const Job job = a_job(32);
  Machine machine = a_machine();
  const double one_node = mean(simulate(job, machine, {32, 4}, {}).step_seconds);
  machine.reliability.jitter = 1e-12;
  const double all = mean(simulate(job, machine, {32, 4}, {}).step_seconds);
  EXPECT_NEAR(one_node, all, 0.01 * all);
}

TEST(Simulate, stragglers_and_jitter_cost_time_that_the_others_wait) {
  const Job job = a_job(16);
  Machine machine = a_machine();
  const Simulated still = simulate(job, machine, {16, 4}, {});
  machine.reliability.straggler_chance = 0.05;
  machine.reliability.straggler_factor = 3;
  const Simulated late = simulate(job, machine, {16, 4}, {});
  EXPECT_GT(mean(late.step_seconds), 1.3 * mean(still.step_seconds));
  EXPECT_GT(late.ranks[0].exposed, still.ranks[0].exposed);
}

TEST(Simulate, more_ranks_than_lanes_are_refused) {
  EXPECT_THROW(simulate(a_job(4), a_machine(), {8, 8}, {}), UserError);
}

TEST(Simulate, a_horovod_cycle_fuses_what_is_ready) {
  const Job job = a_job(16);
  const Machine machine = a_machine();
  SimulateOptions ring{.exchange = Exchange::kRing};
  const double each = mean(simulate(job, machine, {16, 4}, ring).step_seconds);
  ring.cycle = 1e-3;
  ring.fusion_bytes = 64e6;
  const double fused = mean(simulate(job, machine, {16, 4}, ring).step_seconds);
  EXPECT_GT(each, 0);
  // Eight allreduces or a few large ones: the same bytes, fewer latencies, a cycle late at most.
  EXPECT_LT(fused, each + 3e-3);
}

TEST(Simulate, leaves_a_timeline_of_the_last_step) {
  const Simulated out = simulate(a_job(16), a_machine(), {16, 4}, {});
  ASSERT_FALSE(out.rings.empty());
  double busy = 0;
  std::uint64_t last = 0;
  for (const auto& record : out.rings[0].threads[0].done) {
    EXPECT_TRUE(record.whole());
    EXPECT_GE(record.begin + 2, last) << "spans of one thread overlap";
    last = record.end;
    busy += static_cast<double>(record.end - record.begin) * 1e-9;
  }
  EXPECT_NEAR(busy, out.step_seconds.back(), 0.02 * out.step_seconds.back());
  EXPECT_NE(train::trace_json(out.rings).find("layer3 (linear)"), std::string::npos);
}

Endurance a_run() {
  Endurance run;
  run.step = 1;
  run.steps = 2'000'000;
  run.interval = 500;
  run.pause = run.writing = 10;
  run.nodes = 100;
  run.node_mtbf = 100 * 5000.0;
  run.restart = 60;
  return run;
}

TEST(Failures, come_as_often_as_stated) {
  const Endured out = endure(a_run());
  const double expected = out.seconds / 5000;
  EXPECT_NEAR(static_cast<double>(out.failures.size()), expected, 4 * std::sqrt(expected));
  double nodes = 0;
  for (const SimulatedFailure& f : out.failures) nodes += static_cast<double>(f.node);
  const auto count = static_cast<double>(out.failures.size());
  EXPECT_NEAR(nodes / count, 49.5, 4 * 29 / std::sqrt(count));
}

TEST(Failures, goodput_is_dalys) {
  for (const std::int64_t interval : {100, 316, 1000, 3000}) {
    Endurance run = a_run();
    run.interval = interval;
    run.steps = 20'000'000;
    const Endured out = endure(run);
    const double expected = expected_goodput(static_cast<double>(interval), 10, 60, 5000);
    EXPECT_NEAR(out.useful / out.seconds, expected, 0.02 * expected) << interval;
  }
}

TEST(Failures, young_and_dalys_interval_loses_least) {
  const auto goodput = [](std::int64_t interval) {
    Endurance run = a_run();
    run.interval = interval;
    const Endured out = endure(run);
    return out.useful / out.seconds;
  };
  const auto best = static_cast<std::int64_t>(std::sqrt(2 * 10 * 5000.0));
  EXPECT_GT(goodput(best), goodput(best / 5));
  EXPECT_GT(goodput(best), goodput(best * 5));
}

TEST(Failures, nothing_is_lost_where_nothing_fails) {
  Endurance run = a_run();
  run.node_mtbf = 0;
  const Endured out = endure(run);
  EXPECT_TRUE(out.failures.empty());
  EXPECT_NEAR(out.seconds, 2e6 + 10 * 2e6 / 500, 1);
}

TEST(Failures, a_checkpoint_that_is_still_being_written_does_not_count) {
  Endurance run = a_run();
  run.pause = 0;
  run.writing = 400;  // beside the steps
  run.steps = 200'000;
  const Endured beside = endure(run);
  run.writing = 10;
  const Endured soon = endure(run);
  EXPECT_LT(beside.useful / beside.seconds, soon.useful / soon.seconds);
}

TEST(Failures, a_run_that_gets_nowhere_is_given_up) {
  Endurance run = a_run();
  run.node_mtbf = 100;  // one second between failures
  run.restart = 0;
  EXPECT_FALSE(endure(run).ends);
}

}  // namespace
}  // namespace lockstep::plan
