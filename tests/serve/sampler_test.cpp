#include "serve/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "lockstep/core/error.h"

namespace lockstep::serve {
namespace {

using Logits = std::vector<float>;

std::map<std::int32_t, int> counts(const Sampling& sampling, const Logits& logits, int draws) {
  Sampler sampler(sampling);
  std::map<std::int32_t, int> found;
  for (int step = 0; step < draws; ++step) ++found[sampler.pick(logits, step)];
  return found;
}

// Pearson's statistic of the draws against the probabilities; a token without one must not come.
double chi_square(const std::map<std::int32_t, int>& found, const std::vector<double>& expected,
                  int draws) {
  double sum = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto at = found.find(static_cast<std::int32_t>(i));
    const double n = at == found.end() ? 0 : at->second;
    if (expected[i] == 0) {
      EXPECT_EQ(n, 0) << "token " << i;
      continue;
    }
    const double e = expected[i] * draws;
    sum += (n - e) * (n - e) / e;
  }
  return sum;
}

std::vector<double> softmax(const Logits& logits, double temperature) {
  std::vector<double> p;
  double total = 0;
  for (const float x : logits) total += p.emplace_back(std::exp(x / temperature));
  for (double& x : p) x /= total;
  return p;
}

const Logits kLogits{1.5F, -0.5F, 0.25F, 2.0F, -3.0F, 0.25F, 1.0F};

// 6 degrees of freedom: 22.5 is passed by chance once in a thousand; the seeds are fixed.
TEST(Sampler, draws_by_the_softmax_at_a_temperature) {
  for (const double temperature : {0.5, 1.0, 3.0}) {
    const int draws = 20000;
    const auto found = counts({.temperature = temperature, .seed = 5}, kLogits, draws);
    EXPECT_LT(chi_square(found, softmax(kLogits, temperature), draws), 22.5) << temperature;
  }
}

TEST(Sampler, takes_the_highest_logit_at_temperature_0_and_the_lowest_number_of_equals) {
  Sampler sampler({.temperature = 0});
  EXPECT_EQ(sampler.pick(kLogits, 0), 3);
  EXPECT_EQ(sampler.pick(Logits{1, 7, 7, 7}, 1), 1);
  EXPECT_EQ(sampler.pick(Logits{-5}, 2), 0);
  EXPECT_EQ(Sampler({.temperature = 1e-300}).pick(kLogits, 0), 3);
}

TEST(Sampler, keeps_k_tokens_and_of_equals_those_with_the_lowest_numbers) {
  const int draws = 20000;
  // 3, 0, 6, and of the equal 2 and 5 the first.
  std::vector<double> expected = softmax(kLogits, 1);
  for (const int gone : {1, 4, 5}) expected[gone] = 0;
  const double kept = expected[0] + expected[2] + expected[3] + expected[6];
  for (double& p : expected) p /= kept;
  EXPECT_LT(chi_square(counts({.top_k = 4, .seed = 2}, kLogits, draws), expected, draws), 16.3);
  EXPECT_EQ(counts({.top_k = 1}, kLogits, 100), (std::map<std::int32_t, int>{{3, 100}}));
}

TEST(Sampler, top_k_of_all_or_more_changes_nothing) {
  for (const std::int64_t k : {std::int64_t{7}, std::int64_t{8}, std::int64_t{1} << 40}) {
    EXPECT_EQ(counts({.top_k = k}, kLogits, 500), counts({}, kLogits, 500)) << k;
  }
}

TEST(Sampler, top_p_keeps_the_fewest_tokens_that_hold_the_probability) {
  const Logits logits{std::log(0.5F), std::log(0.125F), std::log(0.25F), std::log(0.125F)};
  const auto kept = [&](double p) {
    std::vector<std::int32_t> tokens;
    for (const auto& [token, n] : counts({.top_p = p, .seed = 3}, logits, 2000))
      tokens.push_back(token);
    return tokens;
  };
  EXPECT_EQ(kept(1e-9), (std::vector<std::int32_t>{0}));
  EXPECT_EQ(kept(0.49), (std::vector<std::int32_t>{0}));
  EXPECT_EQ(kept(0.51), (std::vector<std::int32_t>{0, 2}));
  EXPECT_EQ(kept(0.76), (std::vector<std::int32_t>{0, 1, 2}));  // of equals the lower number
  EXPECT_EQ(kept(0.999), (std::vector<std::int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(kept(1), (std::vector<std::int32_t>{0, 1, 2, 3}));
}

// The probability that top-p counts is that of the tokens which top-k has left.
TEST(Sampler, applies_top_k_before_top_p) {
  const Logits logits{std::log(0.4F), std::log(0.3F), std::log(0.2F), std::log(0.1F)};
  // Of 0.4 and 0.3 the first holds 0.571; of all it would hold 0.4.
  EXPECT_EQ(counts({.top_k = 2, .top_p = 0.55}, logits, 200),
            (std::map<std::int32_t, int>{{0, 200}}));
  EXPECT_EQ(counts({.top_p = 0.55}, logits, 200).size(), 2U);
}

TEST(Sampler, repeats_itself_by_seed_and_step_in_any_order) {
  Sampler one({.seed = 9}), two({.seed = 9}), other({.seed = 10});
  std::vector<std::int32_t> forward, backward, others;
  for (int step = 0; step < 200; ++step) {
    forward.push_back(one.pick(kLogits, step));
    others.push_back(other.pick(kLogits, step));
  }
  for (int step = 199; step >= 0; --step) backward.push_back(two.pick(kLogits, step));
  std::ranges::reverse(backward);
  EXPECT_EQ(forward, backward);
  EXPECT_NE(forward, others);
}

TEST(Sampler, survives_logits_that_differ_by_everything) {
  const float most = std::numeric_limits<float>::max();
  EXPECT_EQ(counts({}, Logits{-most, most, -most}, 100), (std::map<std::int32_t, int>{{1, 100}}));
  EXPECT_EQ(counts({.top_k = 2, .top_p = 0.5}, Logits{-most, most, -most}, 100).size(), 1U);
}

TEST(Sampler, refuses_what_is_not_finite) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, infinity, -infinity}) {
    for (const double temperature : {0.0, 1.0}) {
      Sampler sampler({.temperature = temperature});
      EXPECT_THROW(sampler.pick(Logits{1, bad, 2}, 0), DataError);
      EXPECT_THROW(sampler.pick(Logits{bad, 1, 2}, 0), DataError);
    }
  }
}

TEST(Sampler, refuses_options_out_of_range) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double t : {-1.0, nan, infinity}) EXPECT_THROW(Sampler({.temperature = t}), UserError);
  for (const double p : {-0.1, 0.0, 1.0001, nan}) EXPECT_THROW(Sampler({.top_p = p}), UserError);
  EXPECT_THROW(Sampler({.top_k = -1}), UserError);
}

}  // namespace
}  // namespace lockstep::serve
