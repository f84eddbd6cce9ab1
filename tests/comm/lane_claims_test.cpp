// Lanes that move: claims under contention, the additions that follow from them, and deals.
#include "comm/lane_claims.h"

#include <gtest/gtest.h>

#include <barrier>
#include <cmath>
#include <random>
#include <thread>

#include "comm/shared_window.h"
#include "comm/wait.h"
#include "support/tree_reference.h"

namespace lockstep::comm {
namespace {

FoldLayout small_layout(std::int64_t lanes, int streams, int extra) {
  FoldLayout layout;
  layout.lanes = lanes;
  layout.streams = streams;
  layout.flat_elements = 64;
  layout.buckets = layout.blocks = {{0, 64}};
  layout.dealing = Dealing::kTaken;
  layout.extra = extra;
  return layout;
}

TEST(LaneClaims, give_every_lane_to_exactly_one_stream_under_contention) {
  const int streams = 4, steps = 100;
  const std::int64_t lanes = 20000;
  const FoldPlan plan({0, {0}, {0}, {0, 1}}, small_layout(lanes, streams, 20000));
  const NodeMemory memory(plan, std::make_unique<PrivateWindow>(plan.windows[0].bytes));
  LaneClaims claims(plan, memory);
  StepProgram program(plan.node_lanes(), lanes);
  std::vector<const float*> sources;
  sources.reserve(lanes);
  std::vector<std::atomic<int>> runs(lanes);
  const auto after_step = [&]() noexcept {
    claims.find_sources(program, sources);
    claims.end_step();
  };
  std::barrier together(streams, after_step);
  std::vector<std::thread> threads;
  for (int s = 0; s < streams; ++s) {
    threads.emplace_back([&, s] {
      for (int step = 0; step < steps; ++step) {
        // In each step another stream has a long way to go, so that all others take from it.
        for (Claim c = claims.next(s); c.lane >= 0; c = claims.next(s)) {
          ++runs[c.lane];
          for (int i = 0; step % streams == s && i < 200; ++i) spin_once();
        }
        together.arrive_and_wait();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& times : runs) ASSERT_EQ(times, steps);
  EXPECT_EQ(claims.lanes_run(), steps * lanes);
  EXPECT_GT(claims.lanes_taken(), 0);
}

TEST(StepProgram, adds_random_prefixes_and_single_lanes_in_tree_order) {
  std::mt19937 random(5);
  for (int round = 0; round < 400; ++round) {
    const std::int64_t lanes = 1 + random() % 40, begin = random() % lanes;
    const LaneRange node{begin, begin + 1 + static_cast<std::int64_t>(random() % (lanes - begin))};
    std::vector<float> values(lanes);
    for (float& v : values)
      v = std::ldexp(static_cast<float>(random() % 1000) - 500, random() % 40);
    StepProgram steps(node, lanes);
    std::vector<float> operand(steps.program().operands());
    for (int again = 0; again < 3; ++again) {  // the program is used step after step
      steps.clear();
      int sources = 0;
      for (LaneRange left = node; left.size() > 0;) {
        Node source{0, left.begin};
        if (random() % 2) {
          const auto part = 1 + static_cast<std::int64_t>(random() % left.size());
          source = first_canonical({left.begin, left.begin + part}, lanes);
        }
        steps.add(source);
        operand[sources++] = test::tree_node(values, source.level, source.begin());
        left.begin = source.end(lanes);
      }
      steps.end();
      const TileProgram& program = steps.program();
      for (const auto& add : program.adds)
        operand[add.into] = operand[add.left] + operand[add.right];
      for (const auto& [into, from] : program.moves) operand[into] = operand[from];
      const auto nodes = canonical_nodes(node, lanes);
      ASSERT_EQ(program.outs, static_cast<int>(nodes.size()));
      for (int o = 0; o < program.outs; ++o) {
        ASSERT_EQ(operand[program.first_out() + o],
                  test::tree_node(values, nodes[o].level, nodes[o].begin()));
      }
    }
  }
}

TEST(CanonicalNodes, are_never_more_than_most_canonical) {
  for (std::int64_t lanes = 1; lanes <= 70; ++lanes) {
    for (std::int64_t begin = 0; begin < lanes; ++begin) {
      for (std::int64_t end = begin + 1; end <= lanes; ++end) {
        ASSERT_LE(static_cast<int>(canonical_nodes({begin, end}, lanes).size()),
                  most_canonical(end - begin));
      }
    }
  }
  EXPECT_EQ(most_canonical(1), 1);
  EXPECT_EQ(most_canonical(6), 4);
}

// A step of lanes that take what the rank's speed says.
std::vector<std::int64_t> step_of(const LaneDealer& dealer, const std::vector<std::int64_t>& cost) {
  std::vector<std::int64_t> nanoseconds;
  for (std::size_t r = 0; r < cost.size(); ++r)
    nanoseconds.insert(nanoseconds.end(), dealer.loads()[r], cost[r]);
  return nanoseconds;
}

TEST(LaneDealer, deals_in_proportion_to_speed_and_back) {
  LaneDealer dealer({4, 4}, 1, most_dealt(8, 2));
  for (int step = 0; step < 20; ++step) dealer.measured(step_of(dealer, {1000, 1010}));
  EXPECT_EQ(dealer.deals(), 0);  // not worth it
  for (int step = 0; step < 20; ++step) dealer.measured(step_of(dealer, {1000, 3000}));
  EXPECT_EQ(dealer.loads(), (std::vector<std::int64_t>{6, 2}));
  const std::int64_t deals = dealer.deals();
  for (int step = 0; step < 50; ++step) dealer.measured(step_of(dealer, {1000, 3000}));
  EXPECT_EQ(dealer.deals(), deals);
  for (int step = 0; step < 40; ++step) dealer.measured(step_of(dealer, {1000, 1000}));
  EXPECT_EQ(dealer.loads(), (std::vector<std::int64_t>{4, 4}));
}

TEST(LaneDealer, is_not_moved_by_one_slow_step) {
  LaneDealer dealer({4, 4, 4, 4}, 1, most_dealt(16, 4));
  for (int step = 0; step < 30; ++step) {
    std::vector<std::int64_t> lanes = step_of(dealer, {1000, 1000, 1000, 1000});
    if (step == 15) lanes[9] += 1500;
    dealer.measured(lanes);
  }
  EXPECT_EQ(dealer.deals(), 0);
}

TEST(LaneDealer, finds_the_earliest_end_of_all_deals_within_its_limits) {
  std::mt19937 random(9);
  for (int round = 0; round < 200; ++round) {
    const int streams = 1 + static_cast<int>(random() % 3);
    const std::int64_t lanes = 3 + random() % 14;
    std::vector<std::int64_t> loads{lanes - 2, 1, 1}, cost;
    const std::int64_t most = std::max(most_dealt(lanes, 3), lanes - 2);
    for (int r = 0; r < 3; ++r) cost.push_back(100 + static_cast<std::int64_t>(random() % 900));
    LaneDealer dealer(loads, streams, most);
    for (int step = 0; step < 8; ++step) dealer.measured(step_of(dealer, cost));
    const auto end = [&](std::int64_t a, std::int64_t b, std::int64_t c) {
      std::int64_t slowest = 0, load[] = {a, b, c};
      for (int r = 0; r < 3; ++r)
        slowest = std::max(slowest, (load[r] + streams - 1) / streams * cost[r]);
      return slowest;
    };
    std::int64_t best = INT64_MAX;
    for (std::int64_t a = 1; a <= lanes - 2; ++a) {
      for (std::int64_t b = 1; a + b < lanes; ++b) best = std::min(best, end(a, b, lanes - a - b));
    }
    const auto& dealt = dealer.loads();
    EXPECT_EQ(dealt[0] + dealt[1] + dealt[2], lanes);
    EXPECT_LE(end(dealt[0], dealt[1], dealt[2]) * 95, best * 100);
  }
}

}  // namespace
}  // namespace lockstep::comm
