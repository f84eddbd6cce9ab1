// Parameter servers under mpirun: sync has the bits of replicated; in the other modes every lane of
// every step counts exactly once, whoever is slow, sleeps or is asked to stop.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <mutex>
#include <random>

#include "lockstep/comm/server_exchange.h"
#include "lockstep/core/error.h"
#include "parallel/local_run.h"
#include "support/node_list.h"

namespace lockstep::parallel::test {
namespace {

Setting server_setting(ServerMode mode, int servers, std::int64_t lanes) {
  Setting s;
  s.parallel.kind = Kind::kServer;
  s.parallel.mode = mode;
  s.parallel.servers = servers;
  s.parallel.lanes = lanes;
  s.parallel.bucket_bytes = 8192;
  s.optimizer.lr = 0.01;
  s.optimizer.clip = 0.8;
  return s;
}

Setting replicated(Setting s) {
  s.parallel.kind = Kind::kReplicated;
  return s;
}

// Each worker sleeps some random milliseconds before a lane; one of them long, once.
class SlowPasses final : public LaneRunner {
 public:
  SlowPasses(LaneRunner& passes, unsigned seed, double mean_ms)
      : passes_(passes), random_(seed), mean_ms_(mean_ms) {}
  void on_streams(const std::function<void(int)>& work) override { passes_.on_streams(work); }
  void run(const LanePass& pass) override {
    double ms = 0;
    {
      const std::scoped_lock lock(mutex_);
      if (mean_ms_ > 0) ms = std::exponential_distribution<double>(1 / mean_ms_)(random_);
      if (--until_long_sleep == 0) ms = 250;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(static_cast<std::int64_t>(1000 * ms)));
    if (stop_at >= 0 && pass.step >= stop_at) asked.stop = true;
    passes_.run(pass);
  }
  void run_together(std::span<const LanePass> passes) override { passes_.run_together(passes); }
  Requests requests() override { return asked; }

  int until_long_sleep = -1;
  std::int64_t stop_at = -1;
  Requests asked;

 private:
  LaneRunner& passes_;
  std::mutex mutex_;
  std::mt19937 random_;
  const double mean_ms_;
};

std::int64_t go_to(SmallRun& run, LaneRunner& passes, std::int64_t end) {
  std::vector<StepOutcome> of_stretch(run.strategy->stretch(run.step, end - run.step));
  const std::int64_t done = run.strategy->run(run.step, passes, of_stretch);
  run.outcomes.insert(run.outcomes.end(), of_stretch.begin(), of_stretch.begin() + done);
  run.step += done;
  return done;
}

// Every worker has the same parameters, and each server its part of them.
void expect_agreement(comm::Communicator& all, const SmallRun& run) {
  const StateTensor tensor = run.strategy->state().front();
  const std::vector<float> mine = run.values("parameters");
  const auto everybody = all.gather_all(std::as_bytes(std::span(mine)));
  const auto& blocks = run.program.table().blocks();
  int wrong = 0;
  for (const int position : run.strategy->evaluators()) {
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      const auto at = [&](int p) {
        return everybody.data() + (p * mine.size() + blocks[b].begin) * sizeof(float);
      };
      wrong += std::memcmp(at(position), at((*tensor.holders)[b]),
                           static_cast<std::size_t>(blocks[b].elements) * sizeof(float)) != 0;
    }
  }
  EXPECT_EQ(wrong, 0);
}

// What this position holds of `run` is what `reference` has.
void expect_bits_of(const SmallRun& reference, const SmallRun& run, int position) {
  const auto expected = reference.state();
  const auto& blocks = run.program.table().blocks();
  int compared = 0;
  for (const StateTensor& tensor : run.strategy->state()) {
    const bool worker = position <= run.strategy->evaluators().back();
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      const bool here = (*tensor.holders)[b] == position || (worker && tensor.name == "parameters");
      if (!here) continue;
      ++compared;
      ASSERT_EQ(
          std::memcmp(tensor.data + blocks[b].begin, expected.at(tensor.name) + blocks[b].begin,
                      static_cast<std::size_t>(blocks[b].elements) * sizeof(float)),
          0)
          << tensor.name << ", block " << b;
    }
  }
  EXPECT_GT(compared, 0);
}

void expect_bits_of_replicated(comm::Communicator& all, const Setting& setting) {
  const auto self = comm::make_self_communicator();
  SmallRun served(all, setting), alone(*self, replicated(setting));
  served.go_to(4);
  alone.go_to(4);
  expect_bits_of(alone, served, all.topology().position);
  expect_same_outcomes(served, alone);
}

TEST(ServerSync, has_the_bits_of_replicated_with_every_optimizer) {
  const auto all = comm::make_communicator({});
  for (int servers = 1; servers < all->size(); ++servers) {
    for (const optim::Kind kind :
         {optim::Kind::kSgd, optim::Kind::kAdam, optim::Kind::kAdamW, optim::Kind::kLamb}) {
      Setting setting = server_setting(ServerMode::kSync, servers, 8);
      setting.optimizer.kind = kind;
      setting.optimizer.momentum = 0.9;
      SCOPED_TRACE(fmt::format("{} servers, {}", servers, name_of(kind)));
      expect_bits_of_replicated(*all, setting);
    }
  }
}

TEST(ServerSync, has_the_bits_of_replicated_with_streams_accumulation_nodes_and_bf16) {
  const int ranks = comm::make_communicator({})->size();
  const auto apart =
      comm::make_communicator({30, lockstep::test::node_list(ranks, [](int r) { return r % 2; })});
  Setting setting = server_setting(ServerMode::kSync, std::max(1, ranks / 2), 6);
  setting.parallel.streams = 2;
  expect_bits_of_replicated(*apart, setting);
  setting.parallel.accumulate = 3;
  expect_bits_of_replicated(*apart, setting);
  setting.parallel.leaf = comm::LeafType::kBf16;
  setting.parallel.bucket_bytes = 1 << 20;
  expect_bits_of_replicated(*apart, setting);
}

TEST(ServerSync, tells_all_ranks_of_a_servers_request) {
  const auto all = comm::make_communicator({});
  SmallRun run(*all, server_setting(ServerMode::kSync, 1, 8));
  run.go_to(1);
  EXPECT_EQ(run.outcomes.back().total.stop_requests, 0);
  run.passes.asked.stop = all->topology().position == all->size() - 1;
  run.go_to(2);
  EXPECT_EQ(run.outcomes.back().total.stop_requests, 1);
}

struct Mode {
  ServerMode mode;
  std::int64_t staleness;
};
const std::vector<Mode> kModes{
    {ServerMode::kAsync, 0}, {ServerMode::kBounded, 0}, {ServerMode::kBounded, 2}};

Setting setting_of(const Mode& mode, int servers, std::int64_t lanes) {
  Setting setting = server_setting(mode.mode, servers, lanes);
  setting.parallel.staleness = mode.staleness;
  return setting;
}

double loss_of(const SmallRun& run) {
  double total = 0;
  for (const StepOutcome& outcome : run.outcomes) total += outcome.total.lane.sums[0];
  return total;
}

// With a learning rate of 0 a lane's loss does not depend on when it is computed: the sum over the
// run tells whether each was counted once.
void expect_each_lane_once(const SmallRun& run, const Setting& setting) {
  const auto self = comm::make_self_communicator();
  SmallRun alone(*self, replicated(setting));
  alone.go_to(run.step);
  ASSERT_EQ(run.outcomes.size(), static_cast<std::size_t>(run.step));
  for (const StepOutcome& outcome : run.outcomes)
    EXPECT_EQ(outcome.total.lane.counts[0],
              setting.parallel.lanes * setting.parallel.accumulate * 3);
  EXPECT_NEAR(loss_of(run), loss_of(alone), 1e-9 * loss_of(alone));
}

TEST(ServerQueue, counts_each_lane_of_each_step_once_with_slow_workers) {
  const auto all = comm::make_communicator({});
  unsigned seed = 1;
  for (int servers = 1; servers < all->size(); ++servers) {
    for (const Mode& mode : kModes) {
      Setting setting = setting_of(mode, servers, seed % 2 == 0 ? 6 : 8);
      setting.optimizer.lr = 0;
      setting.parallel.streams = seed % 3 == 0 ? 2 : 1;
      setting.parallel.accumulate = seed % 4 == 0 ? 2 : 1;
      SmallRun run(*all, setting);
      const int position = all->topology().position;
      SlowPasses slow(run.passes, seed++ * 100 + position, position == 0 ? 3 : 1);
      while (run.step < 10) go_to(run, slow, std::min<std::int64_t>(run.step + 6, 10));
      expect_each_lane_once(run, setting);
      expect_agreement(*all, run);
      const auto report = run.strategy->report();
      std::int64_t furthest = -1;
      const auto at = report.front().find("up to ");
      ASSERT_NE(at, std::string::npos);
      std::sscanf(report.front().c_str() + at, "up to %ld", &furthest);
      EXPECT_GE(furthest, 0);
      if (mode.mode == ServerMode::kBounded) {
        EXPECT_LE(furthest, mode.staleness);
      }
    }
  }
}

// Nobody ahead: an update is the lanes of its step, with the parameters of the step before.
TEST(ServerQueue, is_sync_but_for_the_order_of_sums_when_nobody_may_be_ahead) {
  const auto all = comm::make_communicator({});
  const auto self = comm::make_self_communicator();
  for (int servers = 1; servers < all->size(); ++servers) {
    Setting setting = setting_of({ServerMode::kBounded, 0}, servers, 8);
    setting.optimizer.kind = optim::Kind::kSgd;  // which does not magnify rounding
    setting.optimizer.lr = 0.05;
    setting.parallel.accumulate = 2;
    SmallRun run(*all, setting), alone(*self, replicated(setting));
    run.go_to(8);
    alone.go_to(8);
    for (std::size_t i = 0; i < run.outcomes.size(); ++i) {
      EXPECT_EQ(run.outcomes[i].total.lane.counts, alone.outcomes[i].total.lane.counts);
      EXPECT_NEAR(run.outcomes[i].gradient_norm, alone.outcomes[i].gradient_norm,
                  1e-4 * alone.outcomes[i].gradient_norm);
    }
    if (all->topology().position > run.strategy->evaluators().back()) continue;
    const auto a = run.values("parameters"), b = alone.values("parameters");
    double worst = 0;
    for (std::size_t e = 0; e < a.size(); ++e)
      worst = std::max(worst, std::abs(static_cast<double>(a[e]) - b[e]));
    EXPECT_LT(worst, 1e-4);
  }
}

TEST(ServerQueue, hands_on_what_a_sleeping_worker_holds_and_refuses_its_late_result) {
  const auto all = comm::make_communicator({});
  if (all->size() < 3) return;  // nobody to hand it to
  Setting setting = setting_of({ServerMode::kAsync, 0}, 1, 8);
  setting.optimizer.lr = 0;
  setting.parallel.lease = 0.05;
  SmallRun run(*all, setting);
  const int position = all->topology().position;
  SlowPasses slow(run.passes, position, 1);
  if (position == 0) slow.until_long_sleep = 3;
  while (run.step < 40) go_to(run, slow, 40);
  expect_each_lane_once(run, setting);
  expect_agreement(*all, run);
  const auto report = run.strategy->report();
  int again = 0, refused = 0;
  std::sscanf(report[1].c_str(), "leases: %d ran out and were handed to another; %d", &again,
              &refused);
  EXPECT_GE(again, 1) << report[1];
  EXPECT_GE(refused, 1) << report[1];
}

TEST(ServerQueue, learns_as_sync_does) {
  const auto all = comm::make_communicator({});
  const auto self = comm::make_self_communicator();
  for (const Mode& mode : kModes) {
    Setting setting = setting_of(mode, 1, 8);
    SmallRun run(*all, setting), sync(*self, replicated(setting));
    run.go_to(60);
    sync.go_to(60);
    const auto end_of = [](const SmallRun& r) {
      double loss = 0;
      for (std::size_t i = r.outcomes.size() - 15; i < r.outcomes.size(); ++i)
        loss += r.outcomes[i].total.lane.sums[0] /
                static_cast<double>(r.outcomes[i].total.lane.counts[0]);
      return loss / 15;
    };
    EXPECT_NEAR(end_of(run), end_of(sync), 0.15 * end_of(sync));
    for (std::size_t i = 0; i < run.outcomes.size(); ++i)
      EXPECT_EQ(run.outcomes[i].learning_rate, sync.outcomes[i].learning_rate);
    expect_agreement(*all, run);
  }
}

TEST(ServerQueue, ends_a_stretch_early_when_any_rank_asks_and_goes_on_from_there) {
  const auto all = comm::make_communicator({});
  for (int asks = 0; asks < all->size(); ++asks) {
    Setting setting = setting_of({ServerMode::kAsync, 0}, std::max(1, all->size() / 2), 6);
    setting.optimizer.lr = 0;
    SmallRun run(*all, setting);
    SlowPasses slow(run.passes, asks, 1);
    const bool serves = all->topology().position > run.strategy->evaluators().back();
    if (all->topology().position == asks) {
      if (serves) {
        slow.asked.stop = true;
      } else {
        slow.stop_at = 3;
      }
    }
    const std::int64_t done = go_to(run, slow, 100);
    EXPECT_LT(done, 100);
    EXPECT_GE(done, 1);
    EXPECT_GT(run.outcomes.back().total.stop_requests, 0);
    EXPECT_EQ(all->min(done), all->max(done));
    expect_agreement(*all, run);
    slow.asked.stop = false;
    slow.stop_at = -1;
    EXPECT_EQ(go_to(run, slow, done + 3), 3);
    EXPECT_EQ(run.outcomes.back().total.stop_requests, 0);
    expect_each_lane_once(run, setting);
    expect_agreement(*all, run);
  }
}

TEST(ServerQueue, refuses_what_is_not_finite_on_all_ranks) {
  const auto all = comm::make_communicator({});
  Setting setting = setting_of({ServerMode::kAsync, 0}, std::max(1, all->size() / 2), 8);
  SmallRun run(*all, setting);
  run.passes.bad_step = 4;
  run.passes.bad_lane = 5;
  std::string said;
  try {
    run.go_to(20);
  } catch (const DataError& error) {
    said = error.what();
  }
  EXPECT_NE(said.find("the loss of lane 5 of step 5 is not finite"), std::string::npos) << said;
  expect_agreement(*all, run);
}

std::string refusal(comm::Communicator& all, const Setting& setting) {
  try {
    const SmallRun run(all, setting);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Server, refuses_too_few_ranks_and_too_few_lanes) {
  const auto all = comm::make_communicator({});
  for (const ServerMode mode : {ServerMode::kSync, ServerMode::kAsync}) {
    const std::string few = refusal(*all, server_setting(mode, all->size(), 8));
    EXPECT_NE(few.find(fmt::format("needs {} ranks at least", all->size() + 1)), std::string::npos)
        << few;
    if (all->size() < 3) continue;
    const std::string many = refusal(*all, server_setting(mode, 1, 1));
    EXPECT_NE(many.find("raise train.lanes"), std::string::npos) << many;
  }
}

}  // namespace
}  // namespace lockstep::parallel::test
