#include "train/step_policy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lockstep/core/error.h"

namespace lockstep::train {
namespace {

ParameterTable small_table() {
  ParameterTable table;
  table.add("layer1.weight", Shape{3, 5}, ParameterKind::kWeight, Init::kZeros);
  return table;
}

parallel::StepOutcome good(double loss, double norm) {
  parallel::StepOutcome outcome;
  outcome.total.lane.sums[0] = loss * 4;
  outcome.total.lane.counts[0] = 4;
  outcome.gradient_norm = norm;
  return outcome;
}
parallel::StepOutcome not_finite(int lane) {
  parallel::StepOutcome outcome = good(NAN, NAN);
  outcome.bad_lane = lane;
  return outcome;
}
double wave(std::int64_t step) { return 2 + 0.1 * std::sin(0.7 * static_cast<double>(step)); }

Run spiky(OnSpike what) {
  train::Run run;
  run.train.on_spike = what;
  run.train.spike_window = 16;
  run.checkpoint.dir = "somewhere";
  run.checkpoint.every = "10steps";
  return run;
}

// What the policy says of a step, with what it would tell of it.
struct Policy {
  explicit Policy(const Run& run) : table(small_table()), policy(run, table) {}
  bool step(parallel::StepOutcome outcome) {
    outcome.applied = policy.accept(at, outcome);
    // As a trainer does for a strategy that asks.
    event = policy.wants_rollback() ? std::nullopt : told(outcome);
    ++at;
    return outcome.applied;
  }
  std::optional<EventRecord> told(const parallel::StepOutcome& outcome) {
    return policy.ended(at, outcome);
  }
  void waves(int count) {
    for (int i = 0; i < count; ++i) EXPECT_TRUE(step(good(wave(at), 3 * wave(at))));
  }
  Progress saved() const {
    Progress p;
    policy.save(p);
    return p;
  }

  struct Asking final : parallel::Strategy {
    std::vector<std::vector<comm::LaneRange>> home() const override { return {}; }
    bool ask(parallel::StepGuard&) override { return true; }
    std::int64_t run(std::int64_t, parallel::LaneRunner&,
                     std::span<parallel::StepOutcome>) override {
      return 0;
    }
    std::vector<parallel::StateTensor> state() override { return {}; }
    void restored() override {}
    const comm::FoldCounters& counters() const override { return none; }
    std::vector<std::pair<std::string, std::string>> settings() const override { return {}; }
    std::vector<nn::LedgerRow> ledger() const override { return {}; }
    comm::FoldCounters none;
  } strategy;
  ParameterTable table;
  StepPolicy policy;
  std::int64_t at = 0;
  std::optional<EventRecord> event;
};

TEST(StepPolicy, stops_at_what_is_not_finite_unless_told_otherwise) {
  Policy p{train::Run()};
  p.policy.attach(p.strategy);
  EXPECT_TRUE(p.step(good(1, 1)));
  EXPECT_THROW(p.step(not_finite(3)), DataError);
  EXPECT_TRUE(p.saved().integers.empty());
  EXPECT_TRUE(p.saved().reals.empty());
  EXPECT_TRUE(p.policy.report().empty());
}

TEST(StepPolicy, leaves_out_so_many_in_a_row_and_no_more) {
  train::Run run;
  run.train.on_nonfinite = OnNonFinite::kSkip;
  run.train.max_skips = 2;
  Policy p(run);
  p.policy.attach(p.strategy);
  EXPECT_TRUE(p.step(good(1, 1)));
  EXPECT_TRUE(p.saved().integers.empty());
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(p.step(good(1, 1)));
    EXPECT_FALSE(p.event);
    EXPECT_FALSE(p.step(not_finite(3)));
    ASSERT_TRUE(p.event);
    EXPECT_EQ(p.event->event, "skipped");
    EXPECT_EQ(p.event->why, "the loss of lane 3 is not finite");
    EXPECT_EQ(p.event->step, p.at);  // as people count
    EXPECT_FALSE(p.step(not_finite(0)));
  }
  try {
    p.step(not_finite(1));
    FAIL() << "one too many";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("train.max_skips = 2"), std::string::npos);
  }
  EXPECT_EQ(p.policy.report(), std::vector<std::string>{"bad numbers: 6 updates left out"});
}

TEST(StepPolicy, reports_a_spike_of_loss_or_norm_but_no_fall) {
  Policy p(spiky(OnSpike::kReport));
  p.policy.attach(p.strategy);
  p.step(good(50, 50));  // before there is a history
  EXPECT_FALSE(p.event);
  p.waves(16);
  EXPECT_TRUE(p.step(good(0.01, 0.01)));
  EXPECT_FALSE(p.event);
  EXPECT_TRUE(p.step(good(3.5, 6)));
  ASSERT_TRUE(p.event);
  EXPECT_EQ(p.event->event, "spike");
  EXPECT_NE(p.event->why.find("the loss 3.5 is "), std::string::npos) << p.event->why;
  EXPECT_TRUE(p.step(good(2, 11)));
  ASSERT_TRUE(p.event);
  EXPECT_NE(p.event->why.find("the gradient norm 11 is "), std::string::npos) << p.event->why;
  p.waves(1);
  EXPECT_FALSE(p.event);
}

// A spike that entered would make the next one usual.
TEST(StepPolicy, what_is_left_out_does_not_enter_the_history) {
  Policy with(spiky(OnSpike::kSkip)), without(spiky(OnSpike::kSkip));
  for (Policy* p : {&with, &without}) {
    p->policy.attach(p->strategy);
    p->waves(16);
  }
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(with.step(good(9, 30)));
  EXPECT_EQ(with.saved().reals, without.saved().reals);
  EXPECT_TRUE(with.step(good(2, 6)));
}

TEST(StepPolicy, decides_the_same_after_a_resume) {
  Policy straight(spiky(OnSpike::kSkip)), resumed(spiky(OnSpike::kSkip));
  for (Policy* p : {&straight, &resumed}) p->policy.attach(p->strategy);
  straight.waves(21);
  EXPECT_FALSE(straight.step(good(9, 30)));
  const Progress saved = straight.saved();
  EXPECT_EQ(saved.reals.size(), 32U);
  resumed.policy.load(saved);
  resumed.at = straight.at;
  EXPECT_EQ(resumed.saved().reals, saved.reals);
  EXPECT_EQ(resumed.saved().integers, saved.integers);
  for (const double loss : {2.05, 2.4, 2.9, 9.0, 2.0, 1.0}) {
    EXPECT_EQ(straight.step(good(loss, 6)), resumed.step(good(loss, 6))) << loss;
    EXPECT_EQ(straight.event.has_value(), resumed.event.has_value()) << loss;
  }
  EXPECT_EQ(resumed.saved().reals, straight.saved().reals);
}

TEST(StepPolicy, goes_back_so_often_and_no_more) {
  train::Run run = spiky(OnSpike::kOff);
  run.train.on_nonfinite = OnNonFinite::kRollback;
  run.train.max_rollbacks = 2;
  Policy p(run);
  p.policy.attach(p.strategy);
  EXPECT_EQ(p.policy.target(), -1);
  for (int round = 1; round <= 2; ++round) {
    p.policy.saved(10);
    const Progress at_target = p.saved();
    EXPECT_FALSE(p.step(not_finite(2)));
    ASSERT_TRUE(p.policy.wants_rollback());
    EXPECT_EQ(p.policy.target(), 10);
    p.policy.load(at_target);
    const EventRecord event = p.policy.rolled_back(10, round - 1);
    EXPECT_EQ(event.event, "rollback");
    EXPECT_EQ(event.rollback, round);
    EXPECT_EQ(event.why, "the loss of lane 2 is not finite");
    EXPECT_FALSE(p.policy.wants_rollback());
    EXPECT_EQ(p.policy.rollbacks(), round);
  }
  EXPECT_THROW(p.step(not_finite(2)), DataError);
}

TEST(StepPolicy, refuses_what_cannot_be_kept) {
  const ParameterTable table = small_table();
  train::Run run;
  run.train.on_nonfinite = OnNonFinite::kRollback;
  EXPECT_THROW(StepPolicy(run, table), UserError);  // no checkpoint.dir
  run.checkpoint.dir = "somewhere";
  for (const char* every : {"10min", "end"}) {
    run.checkpoint.every = every;
    EXPECT_THROW(StepPolicy(run, table), UserError) << every;
  }
  run.checkpoint.every = "1epoch";
  EXPECT_NO_THROW(StepPolicy(run, table));
  run.parallel.options.kind = parallel::Kind::kLocal;
  EXPECT_THROW(StepPolicy(run, table), UserError);
  run.parallel.options.kind = parallel::Kind::kServer;
  EXPECT_NO_THROW(StepPolicy(run, table));
  run.parallel.options.mode = parallel::ServerMode::kAsync;
  EXPECT_THROW(StepPolicy(run, table), UserError);
  run.train.on_nonfinite = OnNonFinite::kStop;
  run.train.on_spike = OnSpike::kReport;
  EXPECT_NO_THROW(StepPolicy(run, table));
}

}  // namespace
}  // namespace lockstep::train
