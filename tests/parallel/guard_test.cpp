// A guard's word on steps that are not finite: what is left out was never done, on any strategy and
// any number of ranks. The oracle is a run that never takes the step at all.
#include <gtest/gtest.h>

#include "lockstep/core/error.h"
#include "parallel/local_run.h"
#include "support/allocation_count.h"

namespace lockstep::parallel::test {
namespace {

constexpr std::int64_t kBad = 3, kSteps = 7;

class Leaves final : public StepGuard {
 public:
  bool accept(std::int64_t step, const StepOutcome& outcome) override {
    ++asked;
    if (outcome.finite()) return true;
    bad = outcome;
    bad_step = step;
    return false;
  }
  int asked = 0;
  std::int64_t bad_step = -1;
  StepOutcome bad;
};

struct Case {
  Kind kind;
  std::int64_t stage;
  optim::Kind optimizer;
};

Setting setting_of(const Case& c) {
  Setting s;
  s.parallel.kind = c.kind;
  s.parallel.stage = c.stage;
  s.parallel.lanes = 8;
  s.parallel.bucket_bytes = 8192;
  s.optimizer.kind = c.optimizer;
  s.optimizer.momentum = c.optimizer == optim::Kind::kSgd ? 0.9 : 0;
  s.optimizer.lr = 0.01;
  s.optimizer.clip = 0.8;
  return s;
}

// The parameters of stage 3 lie with their owners: whole parameters are compared where all are
// here.
void expect_same(comm::Communicator& all, SmallRun& a, SmallRun& b) {
  const auto of_a = a.strategy->state(), of_b = b.strategy->state();
  ASSERT_EQ(of_a.size(), of_b.size());
  const std::vector<Block>& blocks = a.program.table().blocks();
  std::int64_t compared = 0;
  for (std::size_t t = 0; t < of_a.size(); ++t) {
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const auto* holders = of_a[t].holders;
      if (holders != nullptr && (*holders)[i] != all.topology().position) continue;
      ++compared;
      EXPECT_EQ(std::memcmp(of_a[t].data + blocks[i].begin, of_b[t].data + blocks[i].begin,
                            blocks[i].elements * sizeof(float)),
                0)
          << of_a[t].name << ", block " << i;
    }
  }
  EXPECT_GT(all.max(compared), 0);
}

class Guarded : public testing::TestWithParam<Case> {};

TEST_P(Guarded, a_step_that_is_left_out_was_never_taken) {
  const Setting setting = setting_of(GetParam());
  const auto all = comm::make_communicator({});
  if (setting.parallel.kind == Kind::kServer && all->size() == 1) return;
  SmallRun bad(*all, setting), without(*all, setting);
  Leaves guard;
  ASSERT_TRUE(bad.strategy->ask(guard));
  bad.passes.bad_step = kBad;
  bad.passes.bad_lane = 5;
  bad.go_to(kSteps);
  without.go_to(kBad);
  without.step = kBad + 1;
  without.go_to(kSteps);
  expect_same(*all, bad, without);
  EXPECT_EQ(guard.asked, kSteps);
  EXPECT_EQ(guard.bad_step, kBad);
  EXPECT_EQ(guard.bad.bad_lane, 5);
  EXPECT_GE(guard.bad.bad_parameter, 0);
  for (std::int64_t i = 0; i < kSteps; ++i) EXPECT_EQ(bad.outcomes[i].applied, i != kBad) << i;
}

TEST_P(Guarded, what_is_not_finite_is_refused_without_a_guard) {
  const Setting setting = setting_of(GetParam());
  const auto all = comm::make_communicator({});
  if (setting.parallel.kind == Kind::kServer && all->size() == 1) return;
  SmallRun run(*all, setting);
  run.passes.bad_step = 1;
  run.passes.bad_lane = 2;
  try {
    run.go_to(3);
    FAIL() << "it was applied";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what())
                  .find("the loss of lane 2 is not finite at step 2; nothing "
                        "was applied"),
              std::string::npos)
        << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Strategies, Guarded,
                         testing::Values(Case{Kind::kReplicated, 1, optim::Kind::kAdamW},
                                         Case{Kind::kReplicated, 1, optim::Kind::kSgd},
                                         Case{Kind::kSharded, 1, optim::Kind::kLamb},
                                         Case{Kind::kSharded, 2, optim::Kind::kAdamW},
                                         Case{Kind::kServer, 1, optim::Kind::kLamb}));

TEST(Guard, is_not_asked_where_ranks_update_before_they_meet) {
  const auto all = comm::make_communicator({});
  SmallRun run(*all, local_setting(8, 8, 2, OuterStep::kAverage));
  Leaves guard;
  EXPECT_FALSE(run.strategy->ask(guard));
}

TEST(Guard, costs_no_allocation_while_all_is_well) {
  const auto self = comm::make_self_communicator();
  SmallRun run(*self, setting_of({Kind::kReplicated, 1, optim::Kind::kAdamW}));
  Leaves guard;
  run.strategy->ask(guard);
  run.go_to(2);
  std::vector<StepOutcome> outcomes(1);
  const std::int64_t before = lockstep::test::allocation_count();
  run.strategy->run(2, run.passes, outcomes);
  EXPECT_EQ(lockstep::test::allocation_count(), before);
}

}  // namespace
}  // namespace lockstep::parallel::test
