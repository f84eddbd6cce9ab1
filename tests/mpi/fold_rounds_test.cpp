// Sums that end at the owners of shards, of lanes merged by their rank or taken in rounds: always
// the bits of the one tree, with leaves of fp32 and bf16.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include "comm/mpi_call.h"
#include "comm/round_plan.h"
#include "comm/shared_window.h"
#include "lockstep/comm/fold.h"
#include "lockstep/core/error.h"
#include "support/allocation_count.h"
#include "support/fold_driver.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

// Odd sizes, blocks that are not full, a bucket of several parameters, shards without a block.
const std::vector<std::int64_t> kSizes{1, 7, 4097, 33, 1000, 8193};

int ranks() { return make_communicator({})->size(); }

FoldLayout layout_of(const std::vector<std::int64_t>& sizes, std::int64_t bucket,
                     std::int64_t lanes, int streams, Leaves leaves,
                     LeafType leaf = LeafType::kFp32) {
  FoldLayout layout = test::make_layout(sizes, bucket, lanes, streams);
  layout.sums = SumsTo::kOwners;
  layout.leaves = leaves;
  layout.leaf = leaf;
  return layout;
}

std::unique_ptr<Fold> fold_of(Communicator& communicator, const FoldLayout& layout) {
  return make_fold(communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
}

void expect_reference_bits(const CommOptions& options, const FoldLayout& layout, int steps,
                           bool in_turn = false) {
  const auto communicator = make_communicator(options);
  SCOPED_TRACE(fmt::format("nodes {}, {} lanes, {} streams, {}, {}", options.pretend_nodes,
                           layout.lanes, layout.streams,
                           layout.leaves == Leaves::kInRounds ? "in rounds" : "folded",
                           layout.leaf == LeafType::kBf16 ? "bf16" : "fp32"));
  const auto fold = fold_of(*communicator, layout);
  for (int step = 0; step < steps; ++step) {
    if (in_turn) {
      test::run_step_in_turn(*fold, layout, step);
    } else {
      test::run_step(*fold, layout, step, (step + communicator->rank()) % 3 == 1);
    }
    const std::string difference = test::check_step(*fold, layout, step, communicator->topology());
    fold->release();
    ASSERT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << difference;
  }
}

std::vector<std::string> placements() {
  const std::vector<std::vector<std::string>> by_ranks{{""},
                                                       {""},
                                                       {"", "0,1"},
                                                       {"", "0,1,1", "0,1,0", "0,1,2"},
                                                       {"", "0,0,0,1", "0,1,0,1"},
                                                       {"", "0,1,0,1,0"},
                                                       {"", "0,0,1,1,1,2", "0,1,2,0,1,2"},
                                                       {""},
                                                       {"", "0,0,0,1,1,1,1,2", "0,1,0,1,0,1,0,1"}};
  return by_ranks.at(ranks());
}

TEST(FoldInRounds, equals_the_serial_tree_for_any_number_of_lanes) {
  for (const std::string& nodes : placements()) {
    for (std::int64_t lanes = 1; lanes <= 17; ++lanes) {
      const LeafType leaf = lanes % 2 ? LeafType::kFp32 : LeafType::kBf16;
      expect_reference_bits({30, nodes}, layout_of(kSizes, 5000, lanes, 1, Leaves::kInRounds, leaf),
                            2);
    }
  }
}

TEST(FoldInRounds, equals_the_serial_tree_with_several_streams) {
  for (const std::string& nodes : placements()) {
    for (const std::int64_t lanes : {3, 8, 13}) {
      for (const bool in_turn : {false, true}) {
        for (const LeafType leaf : {LeafType::kFp32, LeafType::kBf16}) {
          expect_reference_bits(
              {30, nodes}, layout_of(kSizes, 5000, lanes, 2, Leaves::kInRounds, leaf), 3, in_turn);
        }
      }
    }
  }
}

TEST(FoldForOwners, equals_the_serial_tree_of_merged_lanes) {
  for (const std::string& nodes : placements()) {
    for (const std::int64_t lanes : {8, 12}) {
      for (const int streams : {1, 2}) {
        for (const LeafType leaf : {LeafType::kFp32, LeafType::kBf16}) {
          expect_reference_bits({30, nodes},
                                layout_of(kSizes, 5000, lanes, streams, Leaves::kFolded, leaf), 2);
        }
      }
    }
  }
}

TEST(FoldForEveryRank, rounds_each_leaf_once) {
  for (const std::string& nodes : placements()) {
    for (const std::int64_t lanes : {8, 13}) {
      FoldLayout layout = layout_of(kSizes, 5000, lanes, 2, Leaves::kFolded, LeafType::kBf16);
      layout.sums = SumsTo::kEveryRank;
      expect_reference_bits({30, nodes}, layout, 3);
    }
  }
}

std::int64_t setting(const char* name, std::int64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

TEST(FoldForOwners, gives_the_bits_of_the_one_tree_for_random_layouts) {
  const int size = ranks();
  std::mt19937 random(static_cast<unsigned>(setting("SEED", 5) + size));  // the same on all ranks
  const std::int64_t rounds = setting("ROUNDS", 12);
  for (std::int64_t round = 0; round < rounds; ++round) {
    std::vector<std::int64_t> sizes(1 + random() % 8);
    for (std::int64_t& s : sizes) s = 1 + random() % (random() % 3 ? 300 : 13000);
    const Leaves leaves = random() % 3 ? Leaves::kInRounds : Leaves::kFolded;
    const std::int64_t lanes = (leaves == Leaves::kFolded ? size : 1) + random() % 33;
    const std::string nodes =
        test::node_list(size, [&](int) { return static_cast<int>(random() % 3); });
    set_message_limit(random() % 2 ? 777 : INT64_MAX);
    FoldLayout layout = layout_of(sizes, 1 + random() % 9000, lanes, 1 + random() % 3, leaves,
                                  random() % 2 ? LeafType::kBf16 : LeafType::kFp32);
    layout.open_buckets = 1 + static_cast<int>(random() % 3);
    if (random() % 4 == 0 && leaves == Leaves::kFolded) layout.sums = SumsTo::kEveryRank;
    expect_reference_bits({30, random() % 3 ? nodes : ""}, layout, 3, random() % 4 == 0);
    set_message_limit(INT64_MAX);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

// Parameters that others still read are overwritten as soon as finish() has returned.
TEST(FoldInRounds, finishes_when_all_ranks_have_pushed_all_lanes) {
  const auto world = make_communicator({});
  const auto window = world->make_window(64, "a test");
  const auto pushed = [&](int rank) {
    return std::atomic_ref(*reinterpret_cast<std::int64_t*>(window->part(rank)));
  };
  for (const std::string& nodes : placements()) {
    const auto communicator = make_communicator({30, nodes});
    // The last round leaves ranks without a lane, and the last bucket owners without a block.
    const FoldLayout layout =
        layout_of({70, 9000, 20000}, 5000, 2 * world->size() + 1, 1, Leaves::kInRounds);
    const auto fold = fold_of(*communicator, layout);
    const int buckets = static_cast<int>(layout.buckets.size());
    pushed(world->rank()) = 0;
    world->barrier();
    for (int step = 1; step <= 6; ++step) {
      for (std::int64_t lane = fold->next(0); lane >= 0; lane = fold->next(0)) {
        for (int b = 0; b < buckets; ++b) {
          fold->leaf(0, lane, b);
          if (step % world->size() == world->rank() && b + 1 == buckets)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
          if (b + 1 == buckets && lane + world->size() >= layout.lanes)
            pushed(world->rank()) = step;
          fold->push(0, lane, b);
        }
        const test::InventedRecord record{step, lane, 0};
        fold->set_record(lane, &record);
      }
      fold->finish(step);
      for (int rank = 0; rank < world->size(); ++rank) EXPECT_GE(pushed(rank).load(), step);
      fold->release();
    }
    world->barrier();
  }
}

TEST(FoldInRounds, keeps_sums_and_values_until_the_slowest_reader_has_released_them) {
  const auto communicator = make_communicator({});
  for (const std::int64_t lanes : {1, 9}) {  // of 1 lane all but one rank are not needed to go on
    const FoldLayout layout = layout_of(kSizes, 5000, lanes, 1, Leaves::kInRounds);
    const auto fold = fold_of(*communicator, layout);
    std::string difference;
    for (int step = 0; step < 8; ++step) {  // nothing but release() holds the ranks together
      test::run_step(*fold, layout, step, false);
      if (step % communicator->size() == communicator->size() - 1 - communicator->rank()) {
        for (int i = 0; i < 20; ++i) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
          fold->progress();
        }
      }
      if (difference.empty())
        difference = test::check_step(*fold, layout, step, communicator->topology());
      fold->release();
    }
    EXPECT_EQ(difference, "");
    communicator->barrier();
  }
}

TEST(FoldInRounds, allocates_nothing_in_a_step) {
  const auto communicator = make_communicator({});
  const auto apart = make_communicator(
      {30, test::node_list(communicator->size(), [](int rank) { return rank % 2; })});
  for (Communicator* c : {communicator.get(), apart.get()}) {
    for (const Leaves leaves : {Leaves::kFolded, Leaves::kInRounds}) {
      const FoldLayout layout = layout_of(kSizes, 5000, 9, 1, leaves, LeafType::kBf16);
      const auto fold = fold_of(*c, layout);
      const std::int64_t before = test::allocation_count();
      for (int step = 0; step < 3; ++step) {
        test::run_step(*fold, layout, step, false);
        fold->release();
      }
      EXPECT_EQ(test::allocation_count() - before, 0);
    }
  }
}

TEST(FoldInRounds, needs_no_buckets_to_exchange_records) {
  const auto communicator = make_communicator({});
  FoldLayout layout = layout_of({}, 1, 8, 1, Leaves::kInRounds);
  layout.buckets.clear();
  const auto fold = fold_of(*communicator, layout);
  for (int step = 0; step < 20; ++step) {
    test::run_step(*fold, layout, step, false);
    EXPECT_EQ(test::check_step(*fold, layout, step, communicator->topology()), "");
    fold->release();
  }
}

TEST(FoldInRounds, takes_the_way_between_nodes_when_shared_memory_is_too_small) {
  const auto communicator = make_communicator({});
  if (communicator->size() == 1) return;  // one rank uses private memory
  set_shared_memory_limit(10000);
  ::testing::internal::CaptureStderr();
  const FoldLayout layout = layout_of(kSizes, 5000, 11, 1, Leaves::kInRounds);
  const auto fold = fold_of(*communicator, layout);
  const std::string said = ::testing::internal::GetCapturedStderr();
  set_shared_memory_limit(-1);
  EXPECT_EQ(said.find("/dev/shm on") != std::string::npos, communicator->rank() == 0) << said;
  test::run_step(*fold, layout, 1, false);
  EXPECT_EQ(test::check_step(*fold, layout, 1, communicator->topology()), "");
  EXPECT_GT(fold->counters().bytes_sent, 0);
  fold->release();
}

TEST(MpiSum, refuses_leaves_of_bf16) {
  const auto communicator = make_communicator({});
  const FoldLayout layout = layout_of(kSizes, 5000, 8, 1, Leaves::kFolded, LeafType::kBf16);
  try {
    make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kMpi);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("precision.leaf"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("parallel.reduce"), std::string::npos);
  }
}

// One step of ones.
void run_ones(Fold& fold, const FoldLayout& layout) {
  for (std::int64_t lane = fold.next(0); lane >= 0; lane = fold.next(0)) {
    for (int b = 0; b < static_cast<int>(layout.buckets.size()); ++b) {
      float* const x = fold.leaf(0, lane, b);
      std::fill(x, x + layout.buckets[b].size(), 1.0f);
      fold.push(0, lane, b);
    }
    const test::InventedRecord record{0, lane, 0};
    fold.set_record(lane, &record);
  }
  fold.finish(0);
  const auto lanes = static_cast<double>(layout.lanes);
  EXPECT_EQ(fold.block_value(0), 4096 * lanes * lanes);
  fold.release();
}

// Bytes that this process has mapped.
std::int64_t mapped_bytes() {
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4096;
}

TEST(FoldInRounds, maps_and_sends_what_its_figures_say) {
  const auto world = make_communicator({});
  const int size = world->size();
  const auto apart = make_communicator({30, test::node_list(size, [](int rank) { return rank; })});
  // Every cut is exact.
  const std::int64_t bucket_elements = 4096 * size * (256 / size);
  const std::vector<std::int64_t> sizes{bucket_elements, bucket_elements};
  for (const LeafType leaf : {LeafType::kFp32, LeafType::kBf16}) {
    const FoldLayout layout = layout_of(sizes, 1, 2 * size, 1, Leaves::kInRounds, leaf);
    for (Communicator* c : {world.get(), apart.get()}) {
      world->barrier();
      const std::int64_t before = mapped_bytes();
      const auto fold = fold_of(*c, layout);
      const std::int64_t mapped = mapped_bytes() - before;
      const FoldBytes bytes = fold_bytes(c->topology(), layout, ReduceKind::kFold);
      EXPECT_EQ(fold->window_bytes(), bytes.window);
      EXPECT_EQ(fold->private_bytes(), bytes.private_memory);
      // A rank maps its peers' windows too; what else is allocated is small.
      const auto windows = static_cast<std::int64_t>(bytes.window) * (c == world.get() ? size : 1);
      const std::int64_t expected = windows + static_cast<std::int64_t>(bytes.private_memory);
      EXPECT_LE(std::abs(mapped - expected), 2 << 20) << mapped << " " << expected;
      // Never a whole gradient: two buckets, the shard's partial sums, and pieces of two ticks.
      const std::int64_t all = 4 * layout.flat_elements, bucket = all / 2;
      const std::int64_t pieces = c == world.get() ? 0 : 4 * bucket;
      EXPECT_LE(static_cast<std::int64_t>(bytes.window + bytes.private_memory),
                2 * bucket + 5 * all / size + pieces + (1 << 20));
      run_ones(*fold, layout);
      const std::int64_t others = all - all / size, blocks = layout.blocks.size() / size;
      const std::int64_t small = (2 * sizeof(test::InventedRecord) + blocks * 8) * (size - 1);
      const int half = leaf == LeafType::kBf16 ? 2 : 1;
      EXPECT_EQ(fold->counters().bytes_sent, c == world.get() ? 0 : 2 * others / half + small);
      EXPECT_EQ(fold->counters().bytes_read_peers,
                c == world.get() ? 2 * (size - 1) * (all / size) : 0);
      world->barrier();
    }
  }
}

TEST(FoldForOwners, sends_nothing_back) {
  const auto world = make_communicator({});
  const int size = world->size();
  if (size == 1) return;
  const auto apart = make_communicator({30, test::node_list(size, [](int rank) { return rank; })});
  const FoldLayout layout =
      layout_of({4096 * size * 16}, 1, size, 1, Leaves::kFolded, LeafType::kBf16);
  const auto fold = fold_of(*apart, layout);
  run_ones(*fold, layout);
  // Each rank's one lane leaves it alone: as bf16.
  const std::int64_t all = 2 * layout.flat_elements;
  const std::int64_t small = (sizeof(test::InventedRecord) + layout.blocks.size() / size * 8);
  EXPECT_EQ(fold->counters().bytes_sent, all - all / size + small * (size - 1));
  EXPECT_EQ(fold->private_bytes(),
            fold_bytes(apart->topology(), layout, ReduceKind::kFold).private_memory);
}

}  // namespace
}  // namespace lockstep::comm
