// Shuffle::kFull as plain data: a permutation of all samples that nobody stores.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "data/order.h"

namespace lockstep::data {
namespace {

LoaderOptions full(std::int64_t lanes, std::int64_t microbatch, std::int64_t window) {
  LoaderOptions options;
  options.shuffle = Shuffle::kFull;
  options.lanes = lanes;
  options.microbatch = microbatch;
  options.batch = lanes * microbatch;
  options.window = window;
  return options;
}

std::vector<std::int64_t> table_of(std::int64_t n, std::uint64_t seed, std::uint64_t stream) {
  const RowPermutation permutation(n, seed, stream);
  std::vector<std::int64_t> table(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < table.size(); ++i)
    table[i] = permutation(static_cast<std::int64_t>(i));
  return table;
}

std::vector<std::int64_t> upwards(std::int64_t n) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

TEST(FullOrder, is_a_permutation_of_any_number_of_rows) {
  std::vector<std::int64_t> sizes = upwards(140);
  sizes.erase(sizes.begin());
  for (const std::int64_t n : {255, 256, 257, 1000, 1023, 1024, 1025, 4099, 65537})
    sizes.push_back(n);
  for (const std::int64_t n : sizes)
    for (const std::uint64_t stream : {0, 1, 77}) {
      auto table = table_of(n, 5 + stream, stream);
      std::sort(table.begin(), table.end());
      ASSERT_EQ(table, upwards(n)) << n;
    }
}

TEST(FullOrder, reaches_beyond_32_bits) {
  const std::int64_t n = (std::int64_t{1} << 40) + 12345;
  const RowPermutation permutation(n, 1, 0);
  std::set<std::int64_t> seen;
  std::int64_t large = 0;
  for (std::int64_t i = 0; i < 10000; ++i) {
    const std::int64_t row = permutation(n - 1 - i);
    ASSERT_TRUE(0 <= row && row < n);
    seen.insert(row);
    large += row > n / 2;
  }
  EXPECT_EQ(seen.size(), 10000U);
  EXPECT_NEAR(static_cast<double>(large), 5000, 5 * 50);
}

// Computed by another program: Philox by its known answers, the network and the walk in Python.
TEST(FullOrder, stays_what_it_was) {
  EXPECT_EQ(table_of(17, 42, 1),
            (std::vector<std::int64_t>{16, 4, 9, 0, 11, 6, 5, 13, 1, 14, 12, 15, 8, 7, 3, 2, 10}));
  const RowPermutation permutation(1000003, 7, 3);
  EXPECT_EQ(
      (std::array{permutation(0), permutation(1), permutation(1000001), permutation(1000002)}),
      (std::array<std::int64_t, 4>{495650, 745419, 613736, 680167}));
}

// Against a table and the cut of NUMERICS.md 15, written down once more.
TEST(FullOrder, is_the_permutation_cut_into_lanes_whatever_the_window) {
  for (const std::int64_t samples : {31, 97, 1009, 1024})
    for (const std::int64_t lanes : {1, 3, 8})
      for (const std::int64_t epoch : {0, 1, 9}) {
        const LoaderOptions plain = full(lanes, 3, 1);
        const auto table = table_of(samples, plain.seed, static_cast<std::uint64_t>(epoch));
        const std::int64_t q = samples / plain.batch * plain.batch / lanes;
        std::set<std::int64_t> seen;
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
          const std::vector<std::int64_t> naive(table.begin() + lane * q,
                                                table.begin() + (lane + 1) * q);
          seen.insert(naive.begin(), naive.end());
          for (const std::int64_t window : {1, 7, 33, 100000})
            for (const std::int64_t chunk : {1, 7, 1000})
              ASSERT_EQ(lane_order(samples, chunk, full(lanes, 3, window), epoch, lane), naive);
        }
        EXPECT_EQ(static_cast<std::int64_t>(seen.size()), q * lanes);  // lanes share no sample
      }
}

TEST(FullOrder, drops_another_tail_in_another_epoch) {
  std::set<std::int64_t> ever;
  for (std::int64_t epoch = 0; epoch < 12; ++epoch)
    for (std::int64_t lane = 0; lane < 8; ++lane)
      for (const std::int64_t row : lane_order(1009, 16, full(8, 4, 50), epoch, lane))
        ever.insert(row);
  EXPECT_EQ(ever.size(), 1009U);
}

// Chi-square of where each row comes, over epochs and over seeds; (n - 1)^2 degrees of freedom.
TEST(FullOrder, puts_every_row_everywhere_equally_often) {
  for (const std::int64_t n : {5, 16, 24}) {
    for (const bool by_epoch : {true, false}) {
      constexpr int kRounds = 4000;
      std::vector<int> count(static_cast<std::size_t>(n * n));
      for (std::uint64_t round = 0; round < kRounds; ++round) {
        const auto table = table_of(n, by_epoch ? 3 : round, by_epoch ? round : 3);
        for (std::int64_t i = 0; i < n; ++i) ++count[static_cast<std::size_t>(i * n + table[i])];
      }
      const double mean = kRounds / static_cast<double>(n);
      double chi = 0;
      for (const int c : count) chi += (c - mean) * (c - mean) / mean;
      const auto freedom = static_cast<double>((n - 1) * (n - 1));
      EXPECT_NEAR(chi, freedom, 5 * std::sqrt(2 * freedom)) << n << " " << by_epoch;
    }
  }
}

// Neighbours in the file, and the same places of two epochs, have nothing to do with each other.
TEST(FullOrder, leaves_no_trace_of_the_order_of_the_file) {
  constexpr std::int64_t kRows = 20000;
  const auto one = table_of(kRows, 1, 0), other = table_of(kRows, 1, 1);
  const auto correlation = [](const auto& pairs) {
    double sum = 0;
    for (const auto& [a, b] : pairs)
      sum += (static_cast<double>(a) / kRows - 0.5) * (static_cast<double>(b) / kRows - 0.5);
    return sum * 12 / static_cast<double>(pairs.size());
  };
  std::vector<std::pair<std::int64_t, std::int64_t>> next, place, epochs;
  for (std::int64_t i = 0; i + 1 < kRows; ++i) {
    next.emplace_back(one[i], one[i + 1]);
    place.emplace_back(i, one[i]);
    epochs.emplace_back(one[i], other[i]);
  }
  const double bound = 5 / std::sqrt(static_cast<double>(kRows));
  for (const auto* pairs : {&next, &place, &epochs})
    EXPECT_LT(std::abs(correlation(*pairs)), bound);
}

// A dataset sorted by class: in window order a batch has the classes of few chunks, in full order
// its share of all.
TEST(FullOrder, mixes_the_classes_of_a_sorted_dataset) {
  constexpr std::int64_t kSamples = 20000, kClasses = 10, kLanes = 4;
  const auto class_of = [](std::int64_t row) { return row * kClasses / kSamples; };
  const auto worst = [&](Shuffle shuffle) {
    LoaderOptions options = full(kLanes, 50, 500);
    options.shuffle = shuffle;
    std::vector<std::vector<std::int64_t>> lanes;
    for (std::int64_t lane = 0; lane < kLanes; ++lane)
      lanes.push_back(lane_order(kSamples, 500, options, 0, lane));
    double most = 0;
    for (std::int64_t step = 0; step < kSamples / options.batch; ++step) {
      std::array<int, kClasses> count{};
      for (const auto& lane : lanes)
        for (std::int64_t i = 0; i < 50; ++i)
          ++count[static_cast<std::size_t>(
              class_of(lane[static_cast<std::size_t>(step * 50 + i)]))];
      const double mean = static_cast<double>(options.batch) / kClasses;
      double chi = 0;
      for (const int c : count) chi += (c - mean) * (c - mean) / mean;
      most = std::max(most, chi);
    }
    return most;
  };
  EXPECT_LT(worst(Shuffle::kFull), 35);  // 9 degrees of freedom, the worst of 100 batches
  EXPECT_GT(worst(Shuffle::kWindow), 200);
}

TEST(FullOrder, travels_in_whole_steps) {
  Field image, label;
  image.sample = {28, 28};
  image.dtype = label.dtype = DType::kU8;
  Cuts cuts;
  cuts.per_step = 32, cuts.steps = 100;
  EXPECT_EQ(full_window(0, image, label, cuts), (256 << 10) / 785 / 32 * 32);
  EXPECT_EQ(full_window(70, image, label, cuts), 64);
  EXPECT_EQ(full_window(1, image, label, cuts), 32);
  EXPECT_EQ(full_window(1000000, image, label, cuts), 3200);
  image.sample = {512, 512, 3};
  EXPECT_EQ(full_window(0, image, label, cuts), 32);
}

}  // namespace
}  // namespace lockstep::data
