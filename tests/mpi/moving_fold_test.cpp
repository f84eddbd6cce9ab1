// The fold where lanes move between the ranks of a node, under mpirun: bit for bit the one tree at
// any speed of the ranks, every lane once a step.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <numeric>
#include <random>
#include <thread>

#include "lockstep/comm/fold.h"
#include "lockstep/core/error.h"
#include "support/allocation_count.h"
#include "support/fold_driver.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

const std::vector<std::int64_t> kSizes{1, 7, 4097, 31, 1000, 9001, 1023, 4096};

int ranks() { return make_communicator({})->size(); }

std::vector<std::int64_t> gather(Communicator& communicator, std::int64_t mine) {
  const auto bytes = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::vector<std::int64_t> all(bytes.size() / sizeof mine);
  std::memcpy(all.data(), bytes.data(), bytes.size());
  return all;
}

void rest(double microseconds) {
  std::this_thread::sleep_for(std::chrono::duration<double, std::micro>(microseconds));
}

struct Setting {
  std::int64_t lanes = 8;
  int streams = 1;
  Dealing dealing = Dealing::kTaken;
  int extra = 2;
  std::string nodes;
  LeafType leaf = LeafType::kFp32;
  SumsTo sums = SumsTo::kEveryRank;
  // Microseconds that a lane of a step takes on this rank.
  std::function<double(int step)> lane_time;
};

FoldLayout layout_of(const Setting& s) {
  FoldLayout layout = test::make_layout(kSizes, 5000, s.lanes, s.streams);
  layout.dealing = s.dealing;
  layout.extra = s.extra;
  layout.leaf = s.leaf;
  layout.sums = s.sums;
  return layout;
}

// Returns what has moved on every rank, by position.
std::vector<LaneMoves> expect_reference_bits(const Setting& s, int steps) {
  SCOPED_TRACE(
      fmt::format("{} lanes, {} streams, dealing {}, extra {}, nodes '{}', bf16 {}, owners {}",
                  s.lanes, s.streams, static_cast<int>(s.dealing), s.extra, s.nodes,
                  s.leaf == LeafType::kBf16, s.sums == SumsTo::kOwners));
  const auto communicator = make_communicator({30, s.nodes});
  const FoldLayout layout = layout_of(s);
  const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
  std::string difference;
  for (int step = 0; step < steps; ++step) {
    test::run_step(*fold, layout, step, [&](int, std::int64_t) {
      if (s.lane_time) rest(s.lane_time(step));
    });
    if (difference.empty())
      difference = test::check_step(*fold, layout, step, communicator->topology());
    fold->release();
  }
  EXPECT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << difference;
  const LaneMoves mine = fold->moves();
  const auto run = gather(*communicator, mine.run), taken = gather(*communicator, mine.taken),
             deals = gather(*communicator, mine.deals);
  EXPECT_EQ(std::accumulate(run.begin(), run.end(), std::int64_t{0}), steps * s.lanes);
  std::vector<LaneMoves> moves;
  for (std::size_t p = 0; p < run.size(); ++p) moves.push_back({run[p], taken[p], deals[p]});
  return moves;
}

TEST(MovingFold, equals_the_one_tree_at_random_speeds_of_the_ranks) {
  const char* const seed = std::getenv("SEED");
  const char* const rounds = std::getenv("ROUNDS");
  const int size = ranks();
  std::mt19937 random((seed ? std::atoi(seed) : 1) + 100 * size);  // the same on all ranks
  for (int round = 0; round < (rounds ? std::atoi(rounds) : 16); ++round) {
    Setting s;
    s.lanes = std::max<std::int64_t>(size, std::vector<int>{8, 12, 17, 6}[random() % 4]);
    s.streams = 1 + static_cast<int>(random() % 2);
    s.dealing = random() % 2 ? Dealing::kTaken : Dealing::kMeasured;
    s.extra = 1 + static_cast<int>(random() % 3);
    s.nodes = test::node_list(size, [&](int) { return static_cast<int>(random() % 3); });
    if (random() % 2) s.nodes.clear();
    s.leaf = random() % 3 ? LeafType::kFp32 : LeafType::kBf16;
    s.sums = random() % 3 ? SumsTo::kEveryRank : SumsTo::kOwners;
    const std::uint32_t speeds = random();
    const int me = make_communicator({})->rank();
    std::mt19937 mine(speeds + me);
    double speed = 0;
    s.lane_time = [&](int step) {
      if (step % 5 == 0) speed = mine() % 3 ? static_cast<double>(mine() % 400) : 0;
      return speed;
    };
    expect_reference_bits(s, 15);
  }
}

TEST(MovingFold, takes_lanes_from_a_slow_rank) {
  if (ranks() == 1) return;
  const bool slow = make_communicator({})->rank() == 0;
  const auto moves = expect_reference_bits(
      {.lanes = 12, .extra = 12, .lane_time = [&](int) { return slow ? 20000 : 100; }}, 8);
  std::int64_t taken = 0;
  for (const LaneMoves& m : moves) taken += m.taken;
  EXPECT_GT(taken, 0);
  EXPECT_LT(moves[0].run, 8 * 12 / ranks());
}

TEST(MovingFold, takes_no_more_than_the_extra_lanes) {
  if (ranks() == 1) return;
  const bool slow = make_communicator({})->rank() == 0;
  const auto moves = expect_reference_bits(
      {.lanes = 12, .extra = 1, .lane_time = [&](int) { return slow ? 20000 : 100; }}, 6);
  for (const LaneMoves& m : moves) EXPECT_LE(m.taken, 6);
}

TEST(MovingFold, deals_fewer_lanes_to_a_slow_rank_and_as_many_again_when_it_is_not) {
  if (ranks() == 1) return;
  const bool late = make_communicator({})->rank() == 0;
  // Six lanes a rank: dealing evenly again is worth it on any number of ranks.
  const auto slow_for = [&](int steps) {
    return expect_reference_bits(
        {.lanes = 6 * ranks(),
         .dealing = Dealing::kMeasured,
         .lane_time = [=](int step) { return late && step < steps ? 16000 : 4000; }},
        40);
  };
  const auto always = slow_for(40), half = slow_for(12);
  EXPECT_GE(always[0].deals, 1);
  EXPECT_LT(always[0].run, 40 * 6 * 3 / 4);
  EXPECT_GE(half[0].deals, 2);
  EXPECT_GT(half[0].run, always[0].run);
}

TEST(MovingFold, keeps_every_lane_at_home_when_told_so) {
  const auto communicator = make_communicator({});
  const bool slow = communicator->rank() == 0;
  for (const Dealing dealing : {Dealing::kTaken, Dealing::kMeasured}) {
    const FoldLayout layout = layout_of({.lanes = 12, .dealing = dealing});
    const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
    fold->keep_lanes();
    for (int step = 0; step < 8; ++step) {
      test::run_step(*fold, layout, step, [&](int, std::int64_t lane) {
        const LaneRange home = fold->home(0).front();
        EXPECT_TRUE(home.begin <= lane && lane < home.end);
        if (slow) rest(2000);
      });
      EXPECT_EQ(test::check_step(*fold, layout, step), "");
      fold->release();
    }
    EXPECT_EQ(fold->moves().taken + fold->moves().deals, 0);
  }
}

TEST(MovingFold, allocates_nothing_in_a_step) {
  const auto world = make_communicator({});
  const auto apart =
      make_communicator({30, test::node_list(world->size(), [](int rank) { return rank % 2; })});
  const FoldLayout layout = layout_of({.lanes = 12});
  for (Communicator* c : {world.get(), apart.get()}) {
    const auto fold = make_fold(*c, layout, test::plain_arithmetic(), ReduceKind::kFold);
    const std::int64_t before = test::allocation_count();
    for (int step = 0; step < 5; ++step) {
      test::run_step(*fold, layout, step, (step + c->rank()) % 2 == 1);
      fold->release();
    }
    EXPECT_EQ(test::allocation_count() - before, 0);
    const FoldBytes planned = fold_bytes(c->topology(), layout, ReduceKind::kFold);
    EXPECT_EQ(fold->window_bytes(), planned.window);
    EXPECT_EQ(fold->private_bytes(), planned.private_memory);
  }
}

TEST(MovingFold, refuses_what_cannot_move_lanes) {
  const auto communicator = make_communicator({});
  FoldLayout layout = layout_of({});
  const auto refusal = [&](ReduceKind kind) -> std::string {
    try {
      make_fold(*communicator, layout, test::plain_arithmetic(), kind);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refusal(ReduceKind::kMpi).find("parallel.reduce"), std::string::npos);
  layout.sums = SumsTo::kOwners;
  layout.leaves = Leaves::kInRounds;
  EXPECT_NE(refusal(ReduceKind::kFold).find("parallel.stage"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::comm
