#include <gtest/gtest.h>

#include <cmath>

#include "lockstep/core/error.h"
#include "lockstep/optim/optimizer.h"

namespace lockstep::optim {
namespace {

Options options(Schedule schedule, std::int64_t warmup = 0, std::int64_t total = 0) {
  Options o;
  o.lr = 0.5;
  o.schedule = schedule;
  o.warmup = warmup;
  o.total_steps = total;
  return o;
}

TEST(Schedule, warms_up_linearly_to_lr) {
  for (const Schedule s :
       {Schedule::kConstant, Schedule::kLinear, Schedule::kCosine, Schedule::kInverseSqrt}) {
    const Options o = options(s, 10, 1000);
    for (int step = 0; step < 10; ++step)
      EXPECT_DOUBLE_EQ(learning_rate(o, step), 0.05 * (step + 1));
    EXPECT_NEAR(learning_rate(o, 10), 0.5, 0.03);
    EXPECT_LE(learning_rate(o, 10), 0.5);
  }
}

TEST(Schedule, follows_each_formula_after_warm_up) {
  EXPECT_EQ(learning_rate(options(Schedule::kConstant), 123456), 0.5);

  Options linear = options(Schedule::kLinear, 4, 104);
  linear.min_lr = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate(linear, 54), 0.3);
  EXPECT_DOUBLE_EQ(learning_rate(linear, 104), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(linear, 5000), 0.1);

  Options cosine = options(Schedule::kCosine, 4, 104);
  cosine.min_lr = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 54), 0.3);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 29), 0.1 + 0.4 * 0.5 * (1 + std::sqrt(0.5)));
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 104), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 105), 0.1);

  Options step = options(Schedule::kStep);
  step.step_every = 30;
  EXPECT_DOUBLE_EQ(learning_rate(step, 29), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(step, 30), 0.05);
  EXPECT_DOUBLE_EQ(learning_rate(step, 89), 0.005);
  step.min_lr = 0.02;
  EXPECT_DOUBLE_EQ(learning_rate(step, 89), 0.02);

  EXPECT_DOUBLE_EQ(learning_rate(options(Schedule::kInverseSqrt, 100), 399), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate(options(Schedule::kInverseSqrt), 3), 0.25);
}

TEST(Schedule, stays_at_the_end_when_warm_up_fills_the_run) {
  EXPECT_EQ(learning_rate(options(Schedule::kLinear, 10, 10), 10), 0);
  EXPECT_EQ(learning_rate(options(Schedule::kCosine, 10, 5), 10), 0);
}

TEST(Names, return_to_what_they_name) {
  for (const char* name : {"sgd", "adam", "adamw", "lamb"})
    EXPECT_EQ(name_of(kind_from(name)), name);
  for (const char* name : {"constant", "step", "linear", "cosine", "inverse_sqrt"}) {
    EXPECT_EQ(name_of(schedule_from(name)), name);
  }
  EXPECT_THROW(kind_from("adamax"), UserError);
  EXPECT_THROW(schedule_from(""), UserError);
}

}  // namespace
}  // namespace lockstep::optim
