// Figures do not depend on how their blocks were dealt and merged; units are compared with hashes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "data/histogram.h"
#include "data/statistics.h"
#include "data/verified_rows.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

using Values = std::vector<double>;

Histogram histogram_of(const Values& values) {
  Histogram histogram;
  if (values.empty()) return histogram;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  histogram.add(values, *low, *high);
  return histogram;
}

Figures told(const Histogram& histogram) {
  Figures figures;
  histogram.give_to(figures);
  return figures;
}

std::vector<Values> difficult_values() {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  constexpr double kLargest = std::numeric_limits<double>::max();
  constexpr double kLeast = std::numeric_limits<double>::denorm_min();
  std::vector<Values> sets{{0, -0.0, 0},         {5, 5, 5},        {-kLargest, kLargest, 1},
                           {kLeast, -kLeast, 0}, {-kLeast, 1e300}, {1, std::nextafter(1, 2)},
                           {-1, 63, 64, 127.5}};
  for (const double scale : {1e-310, 1e-30, 1.0, 1e8, 1e305}) {
    for (const double centre : {0.0, 1e4}) {
      Values values(97);
      for (double& v : values) v = scale * (centre + normal(random));
      std::erase_if(values, [](double v) { return !std::isfinite(v); });
      if (!values.empty()) sets.push_back(values);
    }
  }
  return sets;
}

TEST(Histogram, holds_every_value_in_the_narrowest_parts) {
  for (const Values& values : difficult_values()) {
    const Figures figures = told(histogram_of(values));
    ASSERT_EQ(figures.histogram.size(), 64U);
    std::int64_t all = 0;
    for (const std::int64_t n : figures.histogram) all += n;
    EXPECT_EQ(all, static_cast<std::int64_t>(values.size()));
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    EXPECT_LE(figures.low, *low);
    EXPECT_GE(figures.high, *high);
    if (*high / 2 - *low / 2 > 1e-300) {
      // In parts of half the width they would not all have room.
      EXPECT_GT(*high / 2 - *low / 2, (figures.high / 2 - figures.low / 2) / 4);
    }
  }
}

TEST(Histogram, of_parts_in_any_order_is_that_of_the_whole) {
  std::mt19937_64 random(5);
  for (Values values : difficult_values()) {
    const Figures whole = told(histogram_of(values));
    for (int round = 0; round < 20; ++round) {
      std::shuffle(values.begin(), values.end(), random);
      const std::size_t cut = random() % (values.size() + 1);
      Histogram first = histogram_of({values.begin(), values.begin() + static_cast<long>(cut)});
      const Histogram rest = histogram_of({values.begin() + static_cast<long>(cut), values.end()});
      if (round % 2 == 0) {
        first.merge(rest);
        EXPECT_EQ(told(first), whole);
      } else {  // one by one
        Histogram one;
        for (const double v : values) one.merge(histogram_of({v}));
        EXPECT_EQ(told(one), whole);
      }
    }
  }
}

TEST(Statistics, have_the_same_bits_however_blocks_are_dealt) {
  constexpr std::int64_t kSamples = 1009, kBlock = 32;
  const Shape sample{5, 3};
  std::mt19937_64 random(7);
  std::normal_distribution<float> normal(10, 3);
  std::vector<float> rows(static_cast<std::size_t>(kSamples * 15));
  for (float& v : rows) v = normal(random);
  rows[77] = std::numeric_limits<float>::quiet_NaN();
  const auto add = [&](Statistics& to, std::int64_t block) {
    const std::int64_t first = block * kBlock;
    to.add(block, reinterpret_cast<const std::byte*>(rows.data() + first * 15),
           std::min(kBlock, kSamples - first));
  };
  constexpr std::int64_t kBlocks = (kSamples + kBlock - 1) / kBlock;
  Statistics alone(DType::kF32, sample);
  for (std::int64_t b = 0; b < kBlocks; ++b) add(alone, b);
  const Figures whole = alone.figures();
  EXPECT_EQ(whole.not_finite, 1);
  EXPECT_EQ(whole.channel_mean.size(), 3U);
  for (const std::size_t ranks : {1, 2, 3, 5}) {
    std::vector<Statistics> parts(ranks, Statistics(DType::kF32, sample));
    std::vector<std::int64_t> blocks(kBlocks);
    for (std::int64_t b = 0; b < kBlocks; ++b) blocks[static_cast<std::size_t>(b)] = b;
    if (ranks != 2) std::shuffle(blocks.begin(), blocks.end(), random);
    for (const std::int64_t b : blocks)
      add(parts[static_cast<std::size_t>(b) * ranks / kBlocks % ranks], b);
    std::shuffle(parts.begin(), parts.end(), random);
    Statistics all(DType::kF32, sample);
    for (const Statistics& part : parts) all.merge(part.bytes());
    EXPECT_EQ(all.figures(), whole) << ranks;
  }
}

TEST(Statistics, of_two_sets_merge_to_those_of_both) {
  const std::vector<std::uint8_t> first{3, 0, 1, 1}, later{2, 200, 1};
  std::vector<std::uint8_t> both = first;
  both.insert(both.end(), later.begin(), later.end());
  const auto figures = [](const std::vector<std::uint8_t>& values) {
    Statistics statistics(DType::kU8, {});
    statistics.add(reinterpret_cast<const std::byte*>(values.data()),
                   static_cast<std::int64_t>(values.size()));
    return statistics.figures();
  };
  const Figures all = figures(both), made = merged(figures(first), figures(later));
  EXPECT_EQ(made.count, 7);
  EXPECT_EQ(made.classes, all.classes);
  EXPECT_EQ(made.classes.size(), 201U);
  EXPECT_EQ(made.histogram, all.histogram);
  EXPECT_EQ(made.low, all.low);
  EXPECT_NEAR(made.mean, all.mean, 1e-12);
  EXPECT_NEAR(made.deviation, all.deviation, 1e-12);
}

// Rows of one byte, their own numbers; units of four.
class NumberedUnits final : public UnitSource {
 public:
  std::int64_t rows() const override { return 10; }
  std::size_t row_bytes() const override { return 1; }
  std::int64_t units() const override { return 3; }
  Unit unit(std::int64_t index) const override {
    return {index * 4, std::min<std::int64_t>(4, 10 - index * 4)};
  }
  std::int64_t unit_of(std::int64_t row) const override { return row / 4; }
  std::int64_t read_unit(std::int64_t index, std::byte* out) const override {
    ++reads;
    return read_part(unit(index).first, unit(index).rows, out);
  }
  bool has_parts() const override { return true; }
  std::int64_t read_part(std::int64_t first, std::int64_t count, std::byte* out) const override {
    for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<std::byte>(first + i);
    if (first <= damaged && damaged < first + count) out[damaged - first] ^= std::byte{64};
    return count;
  }
  std::string place(std::int64_t row) const override {
    return fmt::format("a.h5: dataset /x, row {}", row);
  }
  std::string way() const override { return "numbers"; }
  std::int64_t damaged = 99;
  mutable int reads = 0;
};

UnitHashes hashes_of(const UnitSource& units) {
  UnitHashes hashes;
  std::byte rows[4];
  for (std::int64_t u = 0; u < units.units(); ++u) {
    units.read_unit(u, rows);
    hashes.push_back(hash_bytes(rows, static_cast<std::size_t>(units.unit(u).rows)));
  }
  return hashes;
}

TEST(VerifiedRows, compare_whole_units_for_any_rows) {
  const auto units = std::make_shared<NumberedUnits>();
  const UnitHashes hashes = hashes_of(*units);
  const auto verified = std::make_shared<const VerifiedRows>(units, hashes);
  const UnitRows rows(verified);
  units->reads = 0;
  for (std::int64_t first = 0; first < 10; ++first) {
    for (std::int64_t count = 1; first + count <= 10; ++count) {
      std::vector<std::byte> out(static_cast<std::size_t>(count));
      KeptUnit kept;
      rows.read(first, count, out.data(), kept);
      for (std::int64_t i = 0; i < count; ++i)
        ASSERT_EQ(out[static_cast<std::size_t>(i)], static_cast<std::byte>(first + i));
    }
  }
  units->damaged = 6;
  const auto damaged = std::make_shared<const VerifiedRows>(units, hashes);
  for (const std::int64_t row : {4, 5, 6, 7}) {
    std::byte out;
    KeptUnit kept;
    try {
      UnitRows(damaged).read(row, 1, &out, kept);
      ADD_FAILURE() << row;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find("a.h5: dataset /x, row 4"), std::string::npos);
      EXPECT_NE(std::string(error.what()).find("chunk 1 of 3"), std::string::npos);
    }
  }
  std::byte out;
  KeptUnit kept;
  UnitRows(damaged).read(9, 1, &out, kept);  // of another unit
  EXPECT_THROW(VerifiedRows(units, {hashes[0], hashes[1]}), DataError);
}

}  // namespace
}  // namespace lockstep::data
