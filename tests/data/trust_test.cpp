// Under mpirun: samples that cannot be trusted give way to the same ones on any number of ranks;
// what is not fit to be learnt from is found; drift has the numbers of numpy.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "loading.h"
#include "lockstep/data/probe.h"
#include "lockstep/data/quality.h"

namespace lockstep::data {
namespace {

using namespace testing;

const fs::path& doubtful_files() {
  static std::optional<TemporaryFolder> mine;
  static const fs::path path = [] {
    std::string name;
    if (world().rank() == 0) {
      mine.emplace();
      name = mine->path().string();
      const std::string make = "/usr/bin/python3 '" LOCKSTEP_MAKE_DOUBTFUL "' '" + name + "'";
      LOCKSTEP_CHECK(std::system(make.c_str()) == 0,
                     "make_doubtful.py failed; is python3-h5py installed?");
    }
    return fs::path(comm::broadcast_text(world(), name));
  }();
  return path;
}

Manifest manifest_of(const char* name) {
  return read_manifest(world(), {.path = {(doubtful_files() / name).string()}});
}

LoaderOptions skipping(std::int64_t lanes, double most) {
  LoaderOptions options = options_for(lanes, 1, 4, 33);
  options.input = "x";
  options.target = "y";
  options.on_error = OnError::kSkip;
  options.max_skipped = most;
  return options;
}

constexpr std::int64_t kRows = 1009;

// The row that stands for a row: found from the list of bad ones alone.
std::int64_t stands_for(std::int64_t row) {
  static const std::set<std::int64_t> bad = [] {
    std::set<std::int64_t> rows;
    std::ifstream list(doubtful_files() / "faulty.txt");
    for (std::int64_t r; list >> r;) rows.insert(r);
    return rows;
  }();
  while (bad.contains(row)) row = (row + 1) % kRows;
  return row;
}

TEST(Skip, puts_the_next_good_sample_in_the_place_of_a_bad_one_on_any_number_of_ranks) {
  const Manifest manifest = manifest_of("faulty.h5");
  const LoaderOptions options = skipping(8, 0.1);
  const auto cut = comm::cut_lanes(8, world().size());
  const comm::LaneRange mine = cut[static_cast<std::size_t>(world().topology().position)];
  const auto loader = make_loader(world(), manifest, options);
  loader->start({&mine, 1}, {});
  const Split& train = *manifest.find("train");
  const std::int64_t chunk = order_chunk(*train.find("x"), *train.find("y"));
  const std::int64_t steps = 2 * loader->steps_per_epoch();
  std::int64_t replaced = 0;
  for (std::int64_t s = 0; s < steps; ++s)
    for (std::int64_t lane = mine.begin; lane < mine.end; ++lane) {
      const Position at = after({}, s, loader->steps_per_epoch());
      auto rows = expected(kRows, chunk, options, lane, at, 1);
      for (std::int64_t& row : rows) {
        replaced += stands_for(row) != row;
        row = stands_for(row);
      }
      ASSERT_EQ(take(*loader, options, lane, at, 1), rows);
    }
  EXPECT_GE(loader->times().skipped, replaced);  // windows are read ahead
  world().barrier();
}

TEST(Skip, says_where_the_first_one_lies_when_it_shall_stop) {
  LoaderOptions options = skipping(8, 0.1);
  options.on_error = OnError::kStop;
  const auto reader = make_row_reader(manifest_of("faulty.h5"), options);
  std::vector<float> input(2 * 20);
  std::vector<std::int32_t> labels(20);
  const auto read = [&](std::int64_t first, std::int64_t count) {
    return refusal([&] { reader->read(first, count, input.data(), labels.data(), nullptr); });
  };
  EXPECT_EQ(read(5, 10), "");
  EXPECT_TRUE(contains_all(read(10, 20), {"DataError", "faulty.h5", "/train/x", "row 17", "inf"}));
  EXPECT_TRUE(contains_all(read(70, 20), {"DataError", "faulty.h5", "/train/y", "row 77", "9"}));
  EXPECT_TRUE(contains_all(read(35, 1), {"DataError", "faulty.h5", "/train/x", "30"}));
}

TEST(Skip, ends_when_too_many_samples_are_bad) {
  const auto reader = make_row_reader(manifest_of("faulty.h5"), skipping(8, 0.01));  // 10 rows
  std::vector<float> input(2 * kRows);
  std::vector<std::int32_t> labels(kRows);
  const auto read = [&](std::int64_t count) {
    return refusal([&] { reader->read(0, count, input.data(), labels.data(), nullptr); });
  };
  EXPECT_EQ(read(30), "");
  EXPECT_TRUE(contains_all(read(kRows), {"DataError", "data.max_skipped", "0.01", "faulty.h5"}));
}

TEST(Quality, finds_what_is_not_fit_to_be_learnt_from) {
  const Quality found = check_quality(world(), manifest_of("doubtful.h5"), {});
  EXPECT_FALSE(found.good);
  EXPECT_TRUE(contains_all(
      found.text, {"2 values are missing (NaN), the first in sample 5", "1 values are infinite",
                   "1 of 4 elements are constant: 2", "7 (4, 0.396 %)",
                   "2 samples are duplicates of earlier ones: 100 = 50, 200 = 50",
                   "2 samples are in split train too: 7 = 50, 11 = 300"}))
      << found.text;
  const Quality clean = check_quality(world(), manifest_of("clean.h5"), {});
  EXPECT_TRUE(clean.good) << clean.text;
}

TEST(Drift, has_the_numbers_of_numpy) {
  Manifest before = manifest_of("before.h5"), now = manifest_of("after.h5");
  add_histograms(world(), before);
  add_histograms(world(), now);
  std::ifstream file(doubtful_files() / "drift.json");
  const auto oracle = nlohmann::json::parse(file);
  const auto drifts = compare(before, now);
  ASSERT_EQ(drifts.size(), 2u);
  // Cut where a part of the histogram ends, not at the very deciles.
  EXPECT_NEAR(drifts[0].index, oracle.at("psi").get<double>(), 0.01);
  EXPECT_NEAR(drifts[0].distance, oracle.at("ks").get<double>(), 0.01);
  EXPECT_LE(drifts[0].distance, oracle.at("ks").get<double>() + 1e-12);
  EXPECT_NEAR(drifts[1].index, oracle.at("class_psi").get<double>(), 1e-12);
  EXPECT_NEAR(drifts[1].distance, oracle.at("class_ks").get<double>(), 1e-12);
  EXPECT_TRUE(within(drifts, {.index = 0.25, .distance = 0.25}));
  EXPECT_FALSE(within(drifts, {.index = 0.01, .distance = 0.25}));
  for (const Drift& same : compare(before, before)) {
    EXPECT_EQ(same.index, 0);
    EXPECT_EQ(same.distance, 0);
  }
}

TEST(Drift, counts_a_field_that_is_gone_or_far_wider) {
  Manifest before = manifest_of("before.h5"), now = before;
  add_histograms(world(), before);
  add_histograms(world(), now);
  Field& x = now.splits[0].fields[0];
  x.figures.high = x.figures.low + 64 * (x.figures.high - x.figures.low);
  now.splits[0].fields.pop_back();
  const auto drifts = compare(before, now);
  ASSERT_EQ(drifts.size(), 2u);
  EXPECT_FALSE(drifts[0].remark.empty());
  EXPECT_EQ(drifts[1].remark, "the field is gone");
  EXPECT_FALSE(within(drifts, {}));
}

}  // namespace
}  // namespace lockstep::data
