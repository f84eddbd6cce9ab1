// Local steps on one rank and on all: the same bits, stops and refusals.
#include <gtest/gtest.h>

#include "lockstep/core/error.h"
#include "parallel/local_run.h"
#include "support/allocation_count.h"

namespace lockstep::parallel::test {
namespace {

// Under mpirun: all ranks against this rank alone.
struct Ranks {
  std::unique_ptr<comm::Communicator> all = comm::make_communicator({});
  std::unique_ptr<comm::Communicator> self = comm::make_self_communicator();
};

void expect_same_bits(const Setting& setting, std::int64_t steps, const Setting& on_all) {
  Ranks ranks;
  SmallRun together(*ranks.all, on_all), alone(*ranks.self, setting);
  together.go_to(steps);
  alone.go_to(steps);
  EXPECT_EQ(together.step, alone.step);
  EXPECT_GE(expect_same_state(together, alone), 2);
  expect_same_outcomes(together, alone);
}

TEST(Local, has_one_result_on_any_number_of_ranks) {
  for (const OuterStep outer : {OuterStep::kAverage, OuterStep::kNesterov}) {
    for (const std::int64_t replicas : {0, 6, 4}) {
      const Setting setting = local_setting(12, replicas, 3, outer);
      expect_same_bits(setting, 8, setting);
    }
  }
}

TEST(Local, has_one_result_on_any_number_of_streams_and_buckets) {
  Setting setting = local_setting(12, 4, 2, OuterStep::kNesterov), on_all = setting;
  setting.parallel.accumulate = on_all.parallel.accumulate = 2;
  on_all.parallel.streams = 2;
  on_all.parallel.bucket_bytes = 1 << 20;
  expect_same_bits(setting, 4, on_all);
}

TEST(Local, has_one_result_with_changes_in_bf16) {
  Setting setting = local_setting(8, 8, 2, OuterStep::kNesterov);
  setting.parallel.leaf = comm::LeafType::kBf16;
  expect_same_bits(setting, 6, setting);
  Ranks ranks;
  SmallRun rounded(*ranks.all, setting);
  setting.parallel.leaf = comm::LeafType::kFp32;
  SmallRun exact(*ranks.all, setting);
  rounded.go_to(4);
  exact.go_to(4);
  const auto a = rounded.values("parameters"), b = exact.values("parameters");
  EXPECT_NE(a, b);
  for (std::size_t e = 0; e < a.size(); ++e) EXPECT_NEAR(a[e], b[e], 1e-2);
}

// Halfway from one number of ranks to another; what a position does not hold, another does.
TEST(Local, goes_on_from_its_state_on_another_number_of_ranks) {
  const Setting setting = local_setting(8, 4, 3, OuterStep::kNesterov);
  Ranks ranks;
  SmallRun straight(*ranks.self, setting), stopped(*ranks.self, setting),
      resumed(*ranks.all, setting);
  straight.go_to(12);
  stopped.go_to(6);
  const auto from = stopped.state();
  const std::size_t bytes = resumed.program.table().flat_elements() * sizeof(float);
  for (const auto& [name, data] : resumed.state()) {
    if (data != nullptr) std::memcpy(data, from.at(name), bytes);
  }
  resumed.strategy->restored();
  resumed.step = 6;
  resumed.go_to(12);
  expect_same_state(resumed, straight);
  expect_same_outcomes(straight, resumed, 6);
}

TEST(Local, state_names_its_holders) {
  Ranks ranks;
  const SmallRun run(*ranks.all, local_setting(8, 4, 3, OuterStep::kNesterov));
  const int ours = ranks.all->topology().position;
  std::vector<std::string> names;
  for (const StateTensor& tensor : run.strategy->state()) {
    names.push_back(tensor.name);
    if (tensor.holders == nullptr) continue;
    ASSERT_EQ(tensor.holders->size(), run.program.table().blocks().size());
    EXPECT_EQ(tensor.data != nullptr, tensor.holders->front() == ours) << tensor.name;
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{
                "parameters", "outer/momentum", "replica-0/optimizer/m", "replica-0/optimizer/v",
                "replica-1/optimizer/m", "replica-1/optimizer/v", "replica-2/optimizer/m",
                "replica-2/optimizer/v", "replica-3/optimizer/m", "replica-3/optimizer/v"}));
}

TEST(Local, homes_hold_each_lane_once) {
  Ranks ranks;
  Setting setting = local_setting(12, 4, 3, OuterStep::kAverage);
  setting.parallel.streams = 2;
  const SmallRun run(*ranks.all, setting);
  std::vector<std::int64_t> mine(12);
  for (const auto& of_stream : run.strategy->home()) {
    for (const comm::LaneRange& range : of_stream) {
      for (std::int64_t lane = range.begin; lane < range.end; ++lane) ++mine[lane];
    }
  }
  std::vector<std::int64_t> sum(12);
  const auto all = ranks.all->gather_all(std::as_bytes(std::span(mine)));
  for (std::size_t i = 0; i < all.size() / sizeof(std::int64_t); ++i) {
    std::int64_t count = 0;
    std::memcpy(&count, all.data() + i * sizeof(count), sizeof(count));
    sum[i % 12] += count;
  }
  EXPECT_EQ(sum, std::vector<std::int64_t>(12, 1));
}

TEST(Local, meets_at_multiples_and_at_the_end) {
  Ranks ranks;
  Setting setting = local_setting(8, 4, 5, OuterStep::kAverage);
  setting.optimizer.total_steps = 12;
  const SmallRun run(*ranks.all, setting);
  EXPECT_EQ(run.strategy->stretch(0, 12), 5);
  EXPECT_EQ(run.strategy->stretch(5, 2), 5);  // a stop in between waits for the meeting
  EXPECT_EQ(run.strategy->stretch(7, 5), 3);
  EXPECT_EQ(run.strategy->stretch(10, 2), 2);
}

TEST(Local, tells_all_ranks_of_one_ranks_request) {
  Ranks ranks;
  SmallRun run(*ranks.all, local_setting(8, 4, 3, OuterStep::kAverage));
  run.go_to(3);
  EXPECT_EQ(run.outcomes.back().total.stop_requests, 0);
  run.passes.asked.stop = ranks.all->rank() == ranks.all->size() - 1;
  run.go_to(6);
  EXPECT_GT(run.outcomes.back().total.stop_requests, 0);
  EXPECT_EQ(run.outcomes.back().total.save_requests, 0);
}

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Local, refuses_what_is_not_finite_at_the_meeting_on_all_ranks) {
  Ranks ranks;
  SmallRun run(*ranks.all, local_setting(8, 4, 3, OuterStep::kAverage));
  run.go_to(3);
  const std::vector<float> before = run.values("parameters");
  run.passes.bad_step = 4;
  run.passes.bad_lane = 5;
  const std::string said = refusal([&] { run.go_to(6); });
  EXPECT_TRUE(said.starts_with(
      "replica 2, alone since step 3: the loss of lane 5 is not finite at step 5; nothing was "
      "applied"))
      << said;
  EXPECT_EQ(run.values("parameters"), before);
}

TEST(Local, refuses_changes_that_are_not_finite) {
  Ranks ranks;
  Setting setting = local_setting(4, 4, 1, OuterStep::kAverage);
  setting.optimizer.kind = optim::Kind::kSgd;
  setting.optimizer.clip = 0;
  setting.optimizer.lr = 1e39;  // infinite in fp32
  SmallRun run(*ranks.all, setting);
  const std::vector<float> before = run.values("parameters");
  EXPECT_NE(refusal([&] { run.go_to(1); }).find("mean change of"), std::string::npos);
  EXPECT_EQ(run.values("parameters"), before);
}

TEST(Local, refuses_what_does_not_fit_with_the_remedy) {
  Ranks ranks;
  const auto making = [&](const Setting& setting) {
    return refusal([&] { const SmallRun run(*ranks.all, setting); });
  };
  EXPECT_NE(making(local_setting(12, 5, 3, OuterStep::kAverage)).find("does not divide"),
            std::string::npos);
  if (ranks.all->size() > 1) {
    EXPECT_NE(making(local_setting(12, 1, 3, OuterStep::kAverage)).find("start no more than 1"),
              std::string::npos);
  }
  Setting setting = local_setting(12, 12, 3, OuterStep::kAverage);
  setting.parallel.streams = 2;
  EXPECT_NE(making(setting).find("set run.threads = 1"), std::string::npos);
  setting = local_setting(12, 4, 3, OuterStep::kAverage);
  setting.parallel.assignment = Assignment::kQueue;
  EXPECT_NE(making(setting).find("assignment.kind"), std::string::npos);
}

TEST(Local, allocates_nothing_in_a_stretch) {
  Ranks ranks;
  SmallRun run(*ranks.all, local_setting(8, 4, 3, OuterStep::kNesterov));
  run.go_to(3);
  std::vector<StepOutcome> outcomes(3);
  const std::int64_t before = lockstep::test::allocation_count();
  run.strategy->run(3, run.passes, outcomes);
  EXPECT_EQ(lockstep::test::allocation_count() - before, 0);
}

}  // namespace
}  // namespace lockstep::parallel::test
