// The fold under mpirun: bit for bit the one tree, on a node and between pretended nodes.
#include "lockstep/comm/fold.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "comm/fold_memory.h"
#include "comm/shared_window.h"
#include "support/allocation_count.h"
#include "support/fold_driver.h"
#include "support/node_list.h"

namespace lockstep::comm {
namespace {

// Odd sizes, blocks that are not full, a bucket of several parameters.
const std::vector<std::int64_t> kSizes{1, 7, 4097, 31, 32, 33, 1000, 9001, 1023, 4096, 12289};

void expect_reference_bits(const CommOptions& options, std::int64_t lanes, int streams, int steps,
                           ReduceKind kind = ReduceKind::kFold) {
  const auto communicator = make_communicator(options);
  const FoldLayout layout = test::make_layout(kSizes, 5000, lanes, streams);
  const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), kind);
  for (int step = 0; step < steps; ++step) {
    test::run_step(*fold, layout, step, (step + communicator->rank()) % 3 == 1);
    const std::string difference = test::check_step(*fold, layout, step);
    fold->release();
    ASSERT_EQ(communicator->max(difference.empty() ? 0 : 1), 0) << difference;
  }
}

int ranks() { return make_communicator({})->size(); }

TEST(Fold, equals_the_serial_tree_on_one_node) {
  for (const std::int64_t lanes : {8, 12}) {
    for (const int streams : {1, 2}) expect_reference_bits({}, lanes, streams, 6);
  }
}

TEST(Fold, equals_the_serial_tree_between_pretended_nodes) {
  const std::vector<std::vector<std::string>> by_ranks{{},
                                                       {},
                                                       {"0,1"},
                                                       {"0,1,1", "0,1,0", "0,1,2"},
                                                       {"0,0,0,1", "0,1,0,1"},
                                                       {"0,0,1,1,1", "0,1,0,1,0"},
                                                       {"0,0,1,1,1,2", "0,1,2,0,1,2"},
                                                       {},
                                                       {"0,0,0,1,1,1,1,2", "0,1,0,1,0,1,0,1"}};
  for (const std::string& nodes : by_ranks.at(ranks())) {
    for (const std::int64_t lanes : {8, 12}) {
      for (const int streams : {1, 2}) {
        SCOPED_TRACE(nodes);
        expect_reference_bits({30, nodes}, lanes, streams, 4);
      }
    }
  }
}

TEST(Fold, keeps_the_sum_until_the_slowest_reader_has_released_it) {
  const auto communicator = make_communicator({});
  const FoldLayout layout = test::make_layout(kSizes, 5000, 8, 1);
  const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
  std::string difference;
  for (int step = 0; step < 8; ++step) {  // nothing but release() holds the ranks together
    test::run_step(*fold, layout, step, false);
    if (step % communicator->size() == communicator->rank()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (difference.empty()) difference = test::check_step(*fold, layout, step);
    fold->release();
  }
  EXPECT_EQ(difference, "");
  communicator->barrier();
}

TEST(Fold, counts_waiting_in_finish_as_exposed_and_flight_during_work_as_hidden) {
  const auto communicator = make_communicator({});
  if (communicator->size() == 1) return;  // nobody to wait for
  const FoldLayout layout = test::make_layout({5000, 5000}, 1, communicator->size(), 1);
  const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
  const bool late = communicator->rank() == 0;
  const std::int64_t lane = fold->home(0).front().begin;
  const auto compute = [](int milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  };
  communicator->barrier();
  fold->leaf(0, lane, 0);
  if (late) compute(120);
  fold->push(0, lane, 0);
  fold->leaf(0, lane, 1);
  if (!late) compute(60);
  fold->push(0, lane, 1);
  fold->finish(0);
  fold->release();
  const WaitTimes& wait = fold->counters().wait;
  if (!late) {  // 60 ms of the late rank's 120 lie under this rank's work, the rest under nothing
    EXPECT_GE(wait.hidden, 0.055);
    EXPECT_GE(wait.exposed, 0.040);
  }
  EXPECT_LT(wait.exposed, 5);
}

TEST(Fold, allocates_nothing_in_a_step) {
  const auto communicator = make_communicator({});
  const FoldLayout layout = test::make_layout(kSizes, 5000, 8, 1);
  const auto apart = make_communicator(
      {30, test::node_list(communicator->size(), [](int rank) { return rank % 2; })});
  for (Communicator* c : {communicator.get(), apart.get()}) {
    const auto fold = make_fold(*c, layout, test::plain_arithmetic(), ReduceKind::kFold);
    const std::int64_t before = test::allocation_count();
    for (int step = 0; step < 3; ++step) {
      test::run_step(*fold, layout, step, false);
      fold->release();
    }
    EXPECT_EQ(test::allocation_count() - before, 0);
  }
}

TEST(Fold, needs_no_buckets_to_exchange_records) {
  const auto communicator = make_communicator({});
  FoldLayout layout = test::make_layout({}, 1, 8, 1);
  layout.buckets.clear();
  const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
  for (int step = 0; step < 20; ++step) {
    test::run_step(*fold, layout, step, false);
    EXPECT_EQ(test::check_step(*fold, layout, step), "");
    fold->release();
  }
}

TEST(Fold, lets_a_lane_keep_all_its_buckets_open) {
  const auto communicator = make_communicator({});
  FoldLayout layout = test::make_layout(kSizes, 5000, 8, 1);
  layout.open_buckets = static_cast<int>(layout.buckets.size());
  const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
  const LaneRange lanes = fold->home(0).front();
  for (std::int64_t lane = lanes.begin; lane < lanes.end; ++lane) {
    for (int pass = 0; pass < 2; ++pass) {  // the second pass finds what the first one left
      for (std::size_t b = 0; b < layout.buckets.size(); ++b) {
        const Range& bucket = layout.buckets[b];
        float* const leaf = fold->leaf(0, lane, static_cast<int>(b));
        for (std::int64_t e = bucket.begin; e < bucket.end; ++e) {
          const float half = test::invented(0, lane, e) / 2;
          float& element = leaf[e - bucket.begin];
          element = pass == 0 ? half : element + half;
        }
      }
    }
    for (std::size_t b = 0; b < layout.buckets.size(); ++b)
      fold->push(0, lane, static_cast<int>(b));
    const test::InventedRecord record{0, lane, test::invented(0, lane, -1)};
    fold->set_record(lane, &record);
  }
  fold->finish(0);
  EXPECT_EQ(test::check_step(*fold, layout, 0), "");
  fold->release();
}

TEST(Fold, sends_the_bytes_of_the_formula) {
  const auto world = make_communicator({});
  const int size = world->size();
  if (size == 1) return;  // nothing to send; the next lines divide
  const auto apart = make_communicator({30, test::node_list(size, [](int rank) { return rank; })});
  // One bucket of 8 * 9 * 5 full blocks, so that every cut is exact.
  FoldLayout layout = test::make_layout({4096 * 840}, 1, 8, 1);
  const auto fold = make_fold(*apart, layout, test::plain_arithmetic(), ReduceKind::kFold);
  const auto on_node = make_fold(*world, layout, test::plain_arithmetic(), ReduceKind::kFold);
  const auto mine = fold->home(0).front();
  const auto leaving = static_cast<std::int64_t>(canonical_nodes(mine, 8).size());
  for (Fold* f : {fold.get(), on_node.get()}) {
    for (std::int64_t lane = mine.begin; lane < mine.end; ++lane) {
      f->leaf(0, lane, 0);
      f->push(0, lane, 0);
    }
    f->finish(0);
    f->release();
  }
  const std::int64_t all = 4 * layout.flat_elements, shard = all / size;
  const auto records = static_cast<std::int64_t>(layout.record_bytes) * mine.size() * (size - 1);
  EXPECT_EQ(fold->counters().bytes_sent, leaving * (all - shard) + shard * (size - 1) + records);
  EXPECT_EQ(fold->counters().bytes_read_peers, 0);
  EXPECT_EQ(on_node->counters().bytes_sent, 0);
  std::int64_t peers = -leaving;
  for (const LaneRange& lanes : cut_lanes(8, size)) peers += canonical_nodes(lanes, 8).size();
  EXPECT_EQ(on_node->counters().bytes_read_peers, peers * shard);
  EXPECT_EQ(on_node->window_bytes(),
            fold_bytes(world->topology(), layout, ReduceKind::kFold).window);
  EXPECT_EQ(fold->private_bytes(),
            fold_bytes(apart->topology(), layout, ReduceKind::kFold).private_memory);
}

TEST(Fold, takes_the_way_between_nodes_when_shared_memory_is_too_small) {
  const auto communicator = make_communicator({});
  if (communicator->size() == 1) return;  // one rank uses private memory
  set_shared_memory_limit(10000);
  ::testing::internal::CaptureStderr();
  const FoldLayout layout = test::make_layout(kSizes, 5000, 8, 1);
  const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kFold);
  const std::string said = ::testing::internal::GetCapturedStderr();
  set_shared_memory_limit(-1);
  EXPECT_EQ(said.find("/dev/shm on") != std::string::npos, communicator->rank() == 0) << said;
  test::run_step(*fold, layout, 1, false);
  EXPECT_EQ(test::check_step(*fold, layout, 1), "");
  EXPECT_GT(fold->counters().bytes_sent, 0);
  fold->release();
}

TEST(MpiSum, is_close_to_the_tree_and_the_same_on_all_ranks) {
  const auto communicator = make_communicator({});
  for (const int streams : {1, 2}) {
    const FoldLayout layout = test::make_layout(kSizes, 5000, 8, streams);
    const auto fold = make_fold(*communicator, layout, test::plain_arithmetic(), ReduceKind::kMpi);
    for (int step = 0; step < 3; ++step) {
      test::run_step(*fold, layout, step, false);
      for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
        const Range& block = layout.blocks[i];
        for (std::int64_t e = block.begin; e < block.end; ++e) {
          double exact = 0, size = 0;
          for (std::int64_t lane = 0; lane < 8; ++lane) {
            exact += test::invented(step, lane, e);
            size += std::abs(test::invented(step, lane, e));
          }
          const double found = fold->sum(static_cast<int>(i))[e - block.begin];
          ASSERT_TRUE(std::abs(found - exact) <= 8 * 6e-8 * size)
              << e << ": " << found << " " << exact;
        }
      }
      fold->release();
    }
  }
}

}  // namespace
}  // namespace lockstep::comm
