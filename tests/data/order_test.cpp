// The order of an epoch: a pure function in which each sample comes once.
#include "data/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "files.h"
#include "lockstep/data/loader.h"

namespace lockstep::data {
namespace {

using testing::contains_all;
using testing::refusal;

LoaderOptions options_for(std::int64_t lanes, std::int64_t microbatch, std::int64_t window) {
  LoaderOptions options;
  options.lanes = lanes;
  options.microbatch = microbatch;
  options.batch = lanes * microbatch;
  options.window = window;
  return options;
}

TEST(Order, hands_out_each_sample_once_apart_from_the_tail) {
  for (const std::int64_t samples : {97, 1009, 1024})
    for (const std::int64_t chunk : {1, 7, 31, 32, 33, 1000, 1023, 5000})
      for (const std::int64_t lanes : {1, 8, 12})
        for (const std::int64_t window : {1, 7, 32, 33, 84, 1000, 100000}) {
          const LoaderOptions options = options_for(lanes, 3, window);
          std::set<std::int64_t> seen;
          std::size_t total = 0;
          for (std::int64_t lane = 0; lane < lanes; ++lane)
            for (const std::int64_t row : lane_order(samples, chunk, options, 3, lane)) {
              EXPECT_TRUE(row >= 0 && row < samples);
              seen.insert(row);
              ++total;
            }
          EXPECT_EQ(seen.size(), total) << samples << " " << chunk << " " << lanes << " " << window;
          EXPECT_EQ(total, static_cast<std::size_t>(samples / options.batch * options.batch));
        }
}

TEST(Order, drops_another_tail_in_another_epoch) {
  const LoaderOptions options = options_for(8, 4, 50);
  std::set<std::int64_t> ever;
  for (std::int64_t epoch = 0; epoch < 12; ++epoch)
    for (std::int64_t lane = 0; lane < 8; ++lane)
      for (const std::int64_t row : lane_order(1009, 16, options, epoch, lane)) ever.insert(row);
  EXPECT_EQ(ever.size(), 1009U);
}

TEST(Order, depends_on_seed_epoch_and_lane) {
  LoaderOptions options = options_for(2, 8, 64);
  const auto first = lane_order(1009, 7, options, 0, 0);
  EXPECT_EQ(first, lane_order(1009, 7, options, 0, 0));
  EXPECT_NE(first, lane_order(1009, 7, options, 1, 0));
  EXPECT_NE(first, lane_order(1009, 7, options, 0, 1));
  options.seed = 2;
  EXPECT_NE(first, lane_order(1009, 7, options, 0, 0));
}

TEST(Order, shuffles_inside_of_windows_only) {
  LoaderOptions options = options_for(2, 8, 50);
  const auto shuffled = lane_order(1009, 7, options, 2, 1);
  const EpochOrder epoch(1009, 7, options, 2);
  const Cuts cuts = make_cuts(1009, options);
  for (std::int64_t w = 0; w < cuts.windows(); ++w) {
    const std::int64_t count = cuts.window_samples(w);
    std::vector<std::int64_t> straight;
    for (std::int64_t i = 0; i < count; ++i)
      straight.push_back(epoch.run(cuts.segment + w * 50 + i).row);
    const auto begin = shuffled.begin() + w * 50;
    EXPECT_TRUE(std::is_permutation(begin, begin + count, straight.begin(), straight.end()));
    if (count > 10) {
      EXPECT_FALSE(std::equal(begin, begin + count, straight.begin()));
    }
  }
}

TEST(Order, is_that_of_the_file_without_shuffling) {
  LoaderOptions options = options_for(4, 8, 50);
  options.shuffle = Shuffle::kNone;
  for (std::int64_t lane = 0; lane < 4; ++lane) {
    const auto rows = lane_order(1009, 7, options, 5, lane);
    const std::int64_t segment = 1009 / 32 * 8;
    for (std::int64_t i = 0; i < segment; ++i)
      EXPECT_EQ(rows[static_cast<std::size_t>(i)], lane * segment + i);
  }
}

TEST(Order, lays_the_partial_chunk_among_the_others) {
  const LoaderOptions options = options_for(1, 1, 10);
  for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
    const EpochOrder order(23, 5, options, epoch);
    std::vector<std::int64_t> rows;
    for (std::int64_t p = 0; p < 23;) {
      const EpochOrder::Run run = order.run(p);
      ASSERT_GT(run.count, 0);
      EXPECT_EQ(run.row % 5, 0);  // asked at the beginning of chunks
      EXPECT_EQ(run.count, run.row == 20 ? 3 : 5);
      for (std::int64_t i = 0; i < run.count; ++i) rows.push_back(run.row + i);
      p += run.count;
    }
    std::sort(rows.begin(), rows.end());
    for (std::int64_t i = 0; i < 23; ++i) EXPECT_EQ(rows[static_cast<std::size_t>(i)], i);
  }
}

// These numbers are stored in no file, but every checkpoint relies on them.
TEST(Order, stays_what_it_was) {
  LoaderOptions options = options_for(2, 2, 4);
  options.seed = 42;
  EXPECT_EQ(lane_order(17, 3, options, 1, 0), (std::vector<std::int64_t>{3, 1, 0, 2, 5, 9, 10, 4}));
  EXPECT_EQ(lane_order(17, 3, options, 1, 1),
            (std::vector<std::int64_t>{15, 16, 11, 12, 7, 13, 6, 14}));
}

TEST(Order, refuses_fewer_samples_than_a_batch_and_a_batch_that_does_not_fit) {
  LoaderOptions options = options_for(8, 4, 10);
  EXPECT_TRUE(contains_all(refusal([&] { lane_order(31, 7, options, 0, 0); }),
                           {"UserError", "31 samples", "batch of 32", "train.batch"}));
  EXPECT_EQ(refusal([&] { lane_order(32, 7, options, 0, 0); }), "");
  options.batch = 33;
  EXPECT_TRUE(
      contains_all(refusal([&] { lane_order(100, 7, options, 0, 0); }), {"UserError", "33"}));
}

TEST(Order, chooses_window_and_chunk_by_the_dataset_alone) {
  Field image, label;
  image.sample = {28, 28};
  image.dtype = label.dtype = DType::kU8;
  image.count = label.count = 60000;
  EXPECT_EQ(default_window(image, label, 32), 8192);
  EXPECT_EQ(default_window(image, label, 10000), 10000);
  EXPECT_EQ(order_chunk(image, label), (256 << 10) / 784);
  image.chunk = 100, label.chunk = 7;
  EXPECT_EQ(order_chunk(image, label), 100);
  image.sample = {512, 512, 3};
  image.dtype = DType::kF32;
  EXPECT_EQ(default_window(image, label, 4), 5);
  EXPECT_EQ(default_window(image, label, 32), 32);
}

}  // namespace
}  // namespace lockstep::data
