#include "train/save_policy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lockstep/core/error.h"

namespace lockstep::train {
namespace {

// Expected time of a run of failures that come as a Poisson process, for each second of work done,
// with a save after every `interval` seconds of it (Daly 2006, without restarts).
double expected(double interval, double cost, double mtbf) {
  return mtbf * std::expm1((interval + cost) / mtbf) / interval;
}

double best_by_search(double cost, double mtbf) {
  double best = 0, least = HUGE_VAL;
  for (double t = mtbf * 1e-6; t < 4 * mtbf; t *= 1.001) {
    if (const double e = expected(t, cost, mtbf); e < least) least = e, best = t;
  }
  return best;
}

TEST(BestInterval, is_where_the_expected_time_is_least) {
  for (double mtbf : {3600.0, 86400.0, 1.3e7}) {
    for (double part : {1e-7, 1e-5, 1e-3, 0.01, 0.1, 0.5}) {
      const double cost = part * mtbf;
      EXPECT_NEAR(best_interval(cost, mtbf) / best_by_search(cost, mtbf), 1, 0.02)
          << mtbf << " " << part;
    }
  }
}

// Figures 3, 4 and 5 of Daly 2006: 117, 57 and 9.1 minutes.
TEST(BestInterval, is_what_the_paper_computes) {
  EXPECT_NEAR(best_interval(5, 24 * 60), 117, 0.5);
  EXPECT_NEAR(best_interval(5, 6 * 60), 57, 0.5);
  EXPECT_NEAR(best_interval(5, 15), 9.1, 0.05);
}

TEST(BestInterval, is_youngs_where_saving_is_cheap_and_the_mtbf_where_it_is_hopeless) {
  EXPECT_NEAR(best_interval(0.4, 1.3e7) / std::sqrt(2 * 0.4 * 1.3e7), 1, 1e-3);
  EXPECT_EQ(best_interval(8000, 3600), 3600);
}

TEST(SavePolicy, auto_measures_first_and_then_follows_the_cost) {
  SavePolicy policy("auto", 86400);
  EXPECT_TRUE(policy.measures());
  EXPECT_FALSE(policy.counts());
  EXPECT_FALSE(policy.due_by_time(119));
  EXPECT_TRUE(policy.due_by_time(120));
  EXPECT_TRUE(policy.learn(2));
  EXPECT_DOUBLE_EQ(policy.seconds(), best_interval(2, 86400));
  EXPECT_FALSE(policy.learn(2.2));  // too little to be told, not to be followed
  EXPECT_DOUBLE_EQ(policy.seconds(), best_interval(2.1, 86400));
  EXPECT_TRUE(policy.learn(20));
  EXPECT_DOUBLE_EQ(policy.cost(), (2.1 + 20) / 2);
  EXPECT_FALSE(policy.due_by_time(policy.seconds() - 1));
  SavePolicy quick("auto", 86400);
  quick.learn(0);  // less than can be measured
  EXPECT_GT(quick.seconds(), 10);
}

TEST(SavePolicy, of_the_run_file_does_not_learn) {
  for (const char* every : {"30s", "2min", "7steps", "3epoch", "end"}) {
    SavePolicy policy(every, 86400);
    EXPECT_FALSE(policy.measures() || policy.learn(5)) << every;
  }
  EXPECT_TRUE(SavePolicy("2min").due_by_time(120));
  EXPECT_FALSE(SavePolicy("end").due_by_time(1e9));
  EXPECT_TRUE(SavePolicy("7steps").due_by_count(21, 0));
  EXPECT_TRUE(SavePolicy("3epoch").due_by_count(1, 6));
  EXPECT_FALSE(SavePolicy("3epoch").due_by_count(3, 0));
  for (const char* bad : {"", "auto ", "10", "min", "0s"})
    EXPECT_THROW(SavePolicy{bad}, UserError) << bad;
}

}  // namespace
}  // namespace lockstep::train
