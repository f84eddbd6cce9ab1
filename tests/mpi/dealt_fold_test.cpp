// Lanes that are dealt between nodes, under mpirun: bit for bit the one tree before, at and after
// each switch, by cuts that every rank knows alike.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "lockstep/comm/fold.h"
#include "support/allocation_count.h"
#include "support/fold_driver.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

const std::vector<std::int64_t> kSizes{1, 7, 4097, 31, 1000, 1023};

int ranks() { return make_communicator({})->size(); }

void rest(double microseconds) {
  std::this_thread::sleep_for(std::chrono::duration<double, std::micro>(microseconds));
}

// 1+1, 1+2, 2+2, 3+2 and 3+2+1 ranks, mixed; then three nodes of a mixture.
std::string nodes_of(int ranks) {
  const std::vector<std::string> known{"",        "",          "0,1",        "0,1,1",
                                       "0,0,1,1", "0,0,1,0,1", "0,1,0,2,1,0"};
  if (ranks < static_cast<int>(known.size())) return known[ranks];
  return test::node_list(ranks, [](int rank) { return rank * rank % 3; });
}

struct Setting {
  std::int64_t lanes = 12;
  int streams = 1;
  std::string nodes = nodes_of(ranks());
  LeafType leaf = LeafType::kFp32;
  SumsTo sums = SumsTo::kEveryRank;
  int window = 4;  // steps between two chances to deal
  // Microseconds that a lane of a step takes on a rank of this node.
  std::function<double(int step, int node)> lane_time = [](int, int) { return 0; };
};

FoldLayout layout_of(const Setting& s) {
  FoldLayout layout = test::make_layout(kSizes, 1500, s.lanes, s.streams);
  layout.dealing = Dealing::kMeasured;
  layout.leaf = s.leaf;
  layout.sums = s.sums;
  return layout;
}

struct Found {
  LaneMoves moves;  // of this rank
  std::vector<LaneCuts> cuts;
};

// What a call says is the same on all ranks, gives each rank a lane and stays within the limits.
void expect_a_cut(Communicator& communicator, const std::vector<LaneRange>& cut,
                  std::int64_t lanes) {
  const auto bytes = communicator.gather_all(std::as_bytes(std::span(cut)));
  for (int p = 0; p < communicator.size(); ++p)
    EXPECT_EQ(std::memcmp(cut.data(), bytes.data() + p * cut.size() * sizeof(LaneRange),
                          cut.size() * sizeof(LaneRange)),
              0);
  const auto even = cut_lanes(lanes, communicator.size());
  const Topology& topology = communicator.topology();
  std::int64_t at = 0;
  for (const LaneRange& range : cut) {
    EXPECT_EQ(range.begin, at);
    EXPECT_GT(range.size(), 0);
    at = range.end;
  }
  EXPECT_EQ(at, lanes);
  for (int node = 0; node < topology.nodes(); ++node) {
    const int first = topology.node_begin[node], last = topology.node_begin[node + 1] - 1;
    EXPECT_LE(cut[last].end - cut[first].begin, 2 * (even[last].end - even[first].begin) + 1);
  }
}

Found expect_reference_bits(const Setting& s, int steps) {
  SCOPED_TRACE(fmt::format("{} lanes, {} streams, nodes '{}', bf16 {}, owners {}, window {}",
                           s.lanes, s.streams, s.nodes, s.leaf == LeafType::kBf16,
                           s.sums == SumsTo::kOwners, s.window));
  const auto communicator = make_communicator({30, s.nodes});
  const FoldLayout layout = layout_of(s);
  const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
  const FoldBytes planned = fold_bytes(communicator->topology(), layout, ReduceKind::kFold);
  const int me = communicator->topology().position, node = communicator->topology().node();
  Found found;
  std::vector<LaneRange> now;  // empty: no deal yet
  std::string difference;
  for (int step = 0; step < steps; ++step) {
    if (step % s.window == 0) {
      if (const LaneCuts* cuts = fold->deal_between_nodes()) {
        if (!found.cuts.empty() && found.cuts.back().next != found.cuts.back().now) {
          EXPECT_EQ(cuts->now, found.cuts.back().next);  // what was announced
          now = cuts->now;
        }
        expect_a_cut(*communicator, cuts->next, s.lanes);
        found.cuts.push_back(*cuts);
      }
      if (!now.empty()) {
        std::vector<LaneRange> home;
        for (int stream = 0; stream < s.streams; ++stream)
          for (const LaneRange& range : fold->home(stream)) home.push_back(range);
        EXPECT_EQ(home.front().begin, now[me].begin);
        EXPECT_EQ(home.back().end, now[me].end);
      }
      EXPECT_EQ(fold->window_bytes(), planned.window);
      EXPECT_EQ(fold->private_bytes(), planned.private_memory);
    }
    test::run_step(*fold, layout, step, [&](int, std::int64_t) { rest(s.lane_time(step, node)); });
    if (difference.empty())
      difference = test::check_step(*fold, layout, step, communicator->topology());
    fold->release();
  }
  EXPECT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << difference;
  found.moves = fold->moves();
  const std::int64_t run = found.moves.run;
  const auto bytes = communicator->gather_all(std::as_bytes(std::span(&run, 1)));
  std::int64_t in_all = 0;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof run) {
    std::int64_t of_rank = 0;
    std::memcpy(&of_rank, bytes.data() + at, sizeof of_rank);
    in_all += of_rank;
  }
  EXPECT_EQ(in_all, steps * s.lanes);
  return found;
}

std::int64_t lanes_of_node(const Setting& s, const std::vector<LaneRange>& cut, int node) {
  const auto communicator = make_communicator({30, s.nodes});
  const Topology& topology = communicator->topology();
  return cut[topology.node_begin[node + 1] - 1].end - cut[topology.node_begin[node]].begin;
}

TEST(DealtFold, gives_a_slow_node_fewer_lanes_and_keeps_the_bits) {
  if (ranks() == 1) return;
  for (const SumsTo sums : {SumsTo::kEveryRank, SumsTo::kOwners}) {
    Setting s{.lanes = 3 * ranks(), .sums = sums};
    s.lane_time = [](int, int node) { return node == 0 ? 6000 : 600; };
    const Found found = expect_reference_bits(s, 18);
    EXPECT_GE(found.moves.node_deals, 1);
    ASSERT_FALSE(found.cuts.empty());
    EXPECT_LT(lanes_of_node(s, found.cuts.back().now, 0),
              lanes_of_node(s, cut_lanes(s.lanes, ranks()), 0));
  }
}

TEST(DealtFold, gives_lanes_back_when_another_node_is_slow) {
  if (ranks() == 1) return;
  Setting s{.lanes = 3 * ranks()};
  s.lane_time = [](int step, int node) { return (node == 0) == (step < 8) ? 6000 : 600; };
  const Found found = expect_reference_bits(s, 36);
  EXPECT_GE(found.moves.node_deals, 2);
  ASSERT_FALSE(found.cuts.empty());
  EXPECT_GT(lanes_of_node(s, found.cuts.back().now, 0),
            lanes_of_node(s, found.cuts.front().next, 0));
}

TEST(DealtFold, equals_the_one_tree_at_random_speeds_of_the_nodes) {
  const char* const seed = std::getenv("SEED");
  const char* const rounds = std::getenv("ROUNDS");
  const int size = ranks();
  std::mt19937 random((seed ? std::atoi(seed) : 1) + 100 * size);  // the same on all ranks
  for (int round = 0; round < (rounds ? std::atoi(rounds) : 4); ++round) {
    Setting s;
    s.lanes = size + std::vector<int>{1, 4, 9, 17}[random() % 4];
    s.streams = 1 + static_cast<int>(random() % 2);
    if (random() % 2)
      s.nodes = test::node_list(size, [&](int) { return static_cast<int>(random() % 3); });
    s.leaf = random() % 2 ? LeafType::kFp32 : LeafType::kBf16;
    s.sums = random() % 2 ? SumsTo::kEveryRank : SumsTo::kOwners;
    s.window = 1 + static_cast<int>(random() % 6);
    const std::uint32_t speeds = random();
    s.lane_time = [=](int step, int node) {  // another node is slow after each 12 steps
      return (speeds + step / 12) % 3 == static_cast<std::uint32_t>(node) ? 500 : 50;
    };
    expect_reference_bits(s, 36);
  }
}

TEST(DealtFold, leaves_lanes_alone_where_they_are_kept) {
  if (ranks() == 1) return;
  Setting s{.lanes = 2 * ranks()};
  s.lane_time = [](int, int node) { return node == 0 ? 3000 : 0; };
  const auto communicator = make_communicator({30, s.nodes});
  const FoldLayout layout = layout_of(s);
  const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
  fold->keep_lanes();
  for (int step = 0; step < 12; ++step) {
    EXPECT_EQ(fold->deal_between_nodes(), nullptr);
    test::run_step(*fold, layout, step, [&](int, std::int64_t) {
      rest(s.lane_time(step, communicator->topology().node()));
    });
    fold->release();
  }
  EXPECT_EQ(fold->moves().deals + fold->moves().node_deals, 0);
}

TEST(DealtFold, allocates_nothing_in_a_step) {
  if (ranks() == 1) return;
  Setting s{.lanes = 3 * ranks()};
  const auto communicator = make_communicator({30, s.nodes});
  const FoldLayout layout = layout_of(s);
  const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
  const bool slow = communicator->topology().node() == 0;
  std::int64_t allocated = 0;
  for (int step = 0; step < 20; ++step) {
    if (step % 5 == 0) fold->deal_between_nodes();
    const std::int64_t before = test::allocation_count();
    test::run_step(*fold, layout, step, [&](int, std::int64_t) {
      if (slow) rest(10000);
    });
    fold->release();
    allocated += test::allocation_count() - before;
  }
  EXPECT_EQ(allocated, 0);
  EXPECT_EQ(fold->moves().node_deals, 1);
}

}  // namespace
}  // namespace lockstep::comm
