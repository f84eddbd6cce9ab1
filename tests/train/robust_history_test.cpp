#include "train/robust_history.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

namespace lockstep::train {
namespace {

// From numpy 1.24: v = round(normal(2, 0.3, n), 4) of default_rng(11), then
// (x - median(v)) / (1.4826 * median(abs(v - median(v)))).
struct FromNumpy {
  std::vector<double> values;
  double median;
  std::vector<std::pair<double, double>> scores;
};
const std::vector<FromNumpy>& numpy() {
  static const std::vector<FromNumpy> cases{
      {{2.0103, 2.4079, 2.3674, 1.8469, 1.9106, 1.8418, 2.1709, 1.9832},
       1.99675,
       {{2.0, 0.014383825251305235},
        {2.9, 3.9975969717666313},
        {5.5, 15.504657172810909},
        {1.0, -4.411408559765724}}},
      {{2.2241, 1.4458, 2.47, 1.9711, 2.2041, 1.959, 1.8863, 2.1389, 2.2474},
       2.1389,
       {{2.0, -0.5583239957765144},
        {2.9, 3.059326084848848},
        {5.5, 13.510315206655452},
        {1.0, -4.577935196471362}}}};
  return cases;
}

TEST(RobustHistory, scores_as_numpy_does) {
  for (const FromNumpy& c : numpy()) {
    RobustHistory history(c.values.size());
    for (const double v : c.values) history.push(v);
    for (const auto& [x, score] : c.scores) {
      const RobustHistory::Verdict verdict = history.judge(x);
      EXPECT_DOUBLE_EQ(verdict.median, c.median);
      EXPECT_NEAR(verdict.score, score, 1e-12 * std::abs(score));
    }
  }
}

TEST(RobustHistory, knows_the_last_values_alone_oldest_first) {
  const FromNumpy& c = numpy()[1];
  RobustHistory history(c.values.size());
  for (int i = 0; i < 5; ++i) history.push(1e6);
  for (const double v : c.values) history.push(v);
  EXPECT_DOUBLE_EQ(history.judge(2).median, c.median);
  for (std::size_t i = 0; i < c.values.size(); ++i) EXPECT_EQ(history.at(i), c.values[i]);
}

TEST(RobustHistory, has_no_verdict_before_it_is_full_or_without_a_scale) {
  RobustHistory history(8);
  for (int i = 0; i < 7; ++i) history.push(i);
  EXPECT_EQ(history.size(), 7U);
  EXPECT_EQ(history.judge(1e9).score, 0);
  history.push(7);
  EXPECT_GT(history.judge(1e9).score, 1e6);
  for (int i = 0; i < 5; ++i) history.push(3);
  EXPECT_EQ(history.judge(1e9).score, 0);  // more than half are 3: the median distance is 0
}

}  // namespace
}  // namespace lockstep::train
