// Slow ranks are found, once, with what they are slow at; and nobody is where nobody is slow.
#include "train/straggler_judge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "train/stragglers.h"

namespace lockstep::train {
namespace {

using Windows = std::vector<RankWindow>;

// Lanes of 10 ms on ranks in lockstep: whoever has done its lanes waits for the others.
struct Machine {
  explicit Machine(int ranks, std::int64_t lanes = 24) : rank(ranks) {
    for (int r = 0; r < ranks; ++r) {
      rank[r].lanes = lanes / ranks + (r < lanes % ranks ? 1 : 0);
      rank[r].data = 0.001 * static_cast<double>(rank[r].lanes);
      rank[r].compute = 0.009 * static_cast<double>(rank[r].lanes);
    }
  }
  Windows window() const {
    Windows w = rank;
    double longest = 0;
    for (const RankWindow& r : w) longest = std::max(longest, r.data + r.compute);
    for (RankWindow& r : w) {
      r.seconds = longest + 0.01;
      r.exposed = longest - r.data - r.compute;
      r.sampled = r.compute / 8;
      if (r.sampled_core == 0) r.sampled_core = r.sampled;
    }
    return w;
  }
  Windows rank;
};

TEST(StragglerJudge, names_a_slow_rank_once_and_what_it_is_slow_at) {
  for (const int ranks : {2, 3, 4, 8}) {
    for (const SlowAt at : {SlowAt::kData, SlowAt::kCompute, SlowAt::kCore}) {
      Machine machine(ranks);
      RankWindow& slow = machine.rank[1];
      (at == SlowAt::kData ? slow.data : slow.compute) += 0.01 * static_cast<double>(slow.lanes);
      if (at == SlowAt::kCore) slow.sampled_core = slow.compute / 8 * 0.5;
      StragglerJudge judge(ranks, false);
      std::vector<Finding> found;
      for (int window = 1; window <= 20; ++window) {
        for (const Finding& f : judge.judge(machine.window())) {
          EXPECT_EQ(window, StragglerJudge::kWindows);
          found.push_back(f);
        }
      }
      ASSERT_EQ(found.size(), 1U) << ranks;
      EXPECT_EQ(found[0].position, 1);
      EXPECT_TRUE(found[0].slow);
      EXPECT_EQ(found[0].at, at);
      EXPECT_NEAR(found[0].factor, 2, 0.01);
      if (at == SlowAt::kCore) {
        EXPECT_NEAR(found[0].core, 0.5, 0.01);
      }
    }
  }
}

TEST(StragglerJudge, says_when_it_recovers_and_names_it_again_in_another_spell) {
  StragglerJudge judge(3, false);
  std::vector<bool> said;
  for (int window = 0; window < 40; ++window) {
    Machine machine(3);
    if (window / 10 % 2 == 1) machine.rank[2].compute *= 2;
    for (const Finding& f : judge.judge(machine.window())) {
      EXPECT_EQ(f.position, 2);
      said.push_back(f.slow);
    }
  }
  EXPECT_EQ(said, (std::vector<bool>{true, false, true}));
}

TEST(StragglerJudge, names_two_slow_ranks_of_four_and_of_five) {
  for (const int ranks : {4, 5}) {
    Machine machine(ranks, 20);
    for (const int r : {0, 3}) machine.rank[r].compute *= 3;
    StragglerJudge judge(ranks, false);
    std::vector<int> named;
    for (int window = 0; window < 10; ++window)
      for (const Finding& f : judge.judge(machine.window())) named.push_back(f.position);
    EXPECT_EQ(named, (std::vector<int>{0, 3}));
  }
}

// A rank with more lanes takes longer for them all, and is not slow.
TEST(StragglerJudge, compares_the_time_of_a_lane) {
  for (const int ranks : {2, 3, 5, 7}) {
    StragglerJudge judge(ranks, false);
    for (int window = 0; window < 20; ++window)
      EXPECT_TRUE(judge.judge(Machine(ranks, 8).window()).empty());
  }
}

TEST(StragglerJudge, finds_a_rank_that_waits_as_long_as_others_where_lanes_move) {
  Machine machine(2);
  machine.rank[1].lanes /= 2;
  machine.rank[1].data = 0.001 * static_cast<double>(machine.rank[0].lanes);
  machine.rank[1].compute = 0.009 * static_cast<double>(machine.rank[0].lanes);
  StragglerJudge judge(2, true);
  std::vector<Finding> found;
  for (int window = 0; window < 5; ++window)
    for (const Finding& f : judge.judge(machine.window())) found.push_back(f);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].position, 1);
}

// Servers run no lanes.
TEST(StragglerJudge, leaves_ranks_without_lanes_out) {
  StragglerJudge judge(3, false);
  Machine machine(3);
  machine.rank[2] = {};
  for (int window = 0; window < 10; ++window) EXPECT_TRUE(judge.judge(machine.window()).empty());
  StragglerJudge alone(1, false);
  EXPECT_TRUE(alone.judge(Machine(1).window()).empty());
}

// A busy machine: each window some rank loses its core for a while, at random; all share alike.
TEST(StragglerJudge, blames_nobody_for_noise) {
  for (const int ranks : {2, 3, 4, 16}) {
    std::mt19937 random(static_cast<unsigned>(ranks));
    std::uniform_real_distribution<double> jitter(0.9, 1.1);
    std::bernoulli_distribution hit(0.15);
    StragglerJudge judge(ranks, false);
    int found = 0;
    for (int window = 0; window < 2000; ++window) {
      Machine machine(ranks, 8 * ranks);
      for (RankWindow& r : machine.rank) r.compute *= jitter(random) * (hit(random) ? 2.5 : 1);
      found += static_cast<int>(judge.judge(machine.window()).size());
    }
    // Three times in a row by chance: 0.15^3 a window and rank at most, and the rank recovers.
    EXPECT_LE(found, 2 * 2000 * ranks * 0.0034) << ranks;
  }
}

// All of them are equally slow: no rank is to blame.
TEST(StragglerJudge, blames_nobody_where_all_are_equally_spread) {
  for (const int ranks : {4, 9}) {
    StragglerJudge judge(ranks, false);
    for (int window = 0; window < 20; ++window) {
      Machine machine(ranks, 6 * ranks);
      for (int r = 0; r < ranks; ++r) machine.rank[r].compute *= 1 + 0.6 * r / (ranks - 1);
      EXPECT_TRUE(judge.judge(machine.window()).empty()) << ranks;
    }
  }
}

TEST(SlowLink, is_said_of_a_pair_far_below_the_median) {
  const std::vector<std::string> who{"rank 0 (host a)", "rank 1 (host b)", "rank 2 (host c)"};
  comm::PairLinks links{{1e-5, 1e9}, {2e-5, 1e8}, 1, 2};
  const std::string text = slow_link_text(links, who);
  EXPECT_NE(text.find("between rank 1 (host b) and rank 2 (host c)"), std::string::npos) << text;
  links.worst.bandwidth = 5e8;
  EXPECT_EQ(slow_link_text(links, who), "");
  EXPECT_EQ(slow_link_text({}, who), "");
}

}  // namespace
}  // namespace lockstep::train
