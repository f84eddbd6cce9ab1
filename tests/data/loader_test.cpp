// The loader hands out the samples of lane_order(), whatever the chunks, windows and threads.
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "loading.h"
#include "lockstep/data/import.h"

namespace lockstep::data {
namespace {

using namespace testing;
using comm::LaneRange;

const fs::path& folder() {
  static const TemporaryFolder temporary;
  return temporary.path();
}

TEST(Loader, hands_out_the_order_over_epochs) {
  constexpr std::int64_t kSamples = 1009;
  for (const std::int64_t chunk : {1, 7, 1000})
    for (const std::int64_t lanes : {1, 8, 12})
      for (const std::int64_t window : {1, 7, 32, 33, 100000}) {
        const Manifest manifest = numbered_rows(folder(), kSamples, chunk, 0);
        const LoaderOptions options = options_for(lanes, 2, 7, window);
        const auto loader = make_loader(world(), manifest, options);
        EXPECT_EQ(loader->steps_per_epoch(), kSamples / options.batch);
        const LaneRange all[] = {{0, lanes}};
        const std::size_t planned = loader->window_bytes();
        loader->start(all, {});
        EXPECT_EQ(loader->window_bytes(), planned);
        const std::int64_t steps = 2 * loader->steps_per_epoch() + 1;
        for (std::int64_t s = 0; s < steps; ++s)
          for (std::int64_t lane = 0; lane < lanes; ++lane) {
            const Position at = after({}, s, loader->steps_per_epoch());
            ASSERT_EQ(take(*loader, options, lane, at, 1),
                      expected(kSamples, chunk, options, lane, at, 1))
                << "chunk " << chunk << " lanes " << lanes << " window " << window << " step " << s;
          }
        EXPECT_EQ(loader->times().samples, steps * options.batch);
      }
}

TEST(Loader, resumed_mid_epoch_equals_straight) {
  for (const int deflate : {0, 4}) {
    const Manifest manifest = numbered_rows(folder(), 1009, 7, deflate);
    const LoaderOptions options = options_for(8, 1, 4, 33);
    for (const Position at : {Position{0, 0}, Position{0, 1}, Position{0, 17}, Position{0, 30},
                              Position{0, 31}, Position{3, 9}}) {
      const auto loader = make_loader(world(), manifest, options);
      const LaneRange lanes[] = {{3, 4}, {5, 6}};
      loader->start(lanes, at);
      const Position from = at.step == 31 ? Position{1, 0} : at;
      for (const std::int64_t lane : {3, 5})
        EXPECT_EQ(take(*loader, options, lane, from, 40),
                  expected(1009, 7, options, lane, from, 40));
    }
  }
}

TEST(Loader, skips_forward) {
  const Manifest manifest = numbered_rows(folder(), 1009, 7, 0);
  const LoaderOptions options = options_for(2, 1, 4, 9);
  const auto loader = make_loader(world(), manifest, options);
  const LaneRange lanes[] = {{0, 2}};
  loader->start(lanes, {});
  for (const std::int64_t step : {0, 1, 40, 41, 43, 60, 120})
    for (const std::int64_t lane : {0, 1})
      EXPECT_EQ(take(*loader, options, lane, {0, step}, 1),
                expected(1009, 7, options, lane, {0, step}, 1));
}

// Work that has moved from another rank, or comes back after others have gone on.
TEST(Loader, reads_lanes_that_it_was_not_dealt_and_windows_that_it_has_left) {
  for (const int deflate : {0, 4}) {
    const Manifest manifest = numbered_rows(folder(), 1009, 7, deflate);
    const LoaderOptions options = options_for(4, 2, 4, 9);
    const auto loader = make_loader(world(), manifest, options);
    const LaneRange lanes[] = {{0, 2}};
    loader->start(lanes, {});
    for (const auto& [lane, step] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {3, 0}, {0, 5}, {2, 30}, {0, 0}, {0, 6}, {1, 9}, {1, 2}, {2, 1}, {1, 10}, {0, 7}}) {
      EXPECT_EQ(take(*loader, options, lane, {0, step}, 1),
                expected(1009, 7, options, lane, {0, step}, 1))
          << lane << ", " << step;
      EXPECT_EQ(take(*loader, options, 3, {2, step}, 1),
                expected(1009, 7, options, 3, {2, step}, 1));
    }
  }
}

TEST(Loader, serves_streams_that_run_at_their_own_pace) {
  const Manifest manifest = numbered_rows(folder(), 1009, 7, 4);
  const LoaderOptions options = options_for(8, 1, 4, 5);
  const auto loader = make_loader(world(), manifest, options);
  const LaneRange streams[] = {{0, 4}, {4, 8}};
  loader->start(streams, {});
  std::vector<std::int64_t> rows[8];
  const auto run = [&](LaneRange range) {
    for (std::int64_t s = 0; s < 70; ++s)
      for (std::int64_t lane = range.begin; lane < range.end; ++lane)
        for (const std::int64_t row : take(*loader, options, lane, after({}, s, 31), 1))
          rows[lane].push_back(row);
  };
  std::thread other(run, streams[1]);
  run(streams[0]);
  other.join();
  for (std::int64_t lane = 0; lane < 8; ++lane)
    EXPECT_EQ(rows[lane], expected(1009, 7, options, lane, {}, 70));
}

TEST(Loader, equals_h5py_bit_for_bit) {
  for (const char* name : {"contiguous", "chunk7", "gzip", "fletcher", "contiguous_big"}) {
    const Manifest manifest =
        read_manifest(world(), {.path = {(h5py_files() / name).string() + ".h5"}});
    LoaderOptions options = options_for(4, 1, 8, 0);
    options.classes = manifest.find("train")->find("y")->classes;
    const auto bytes = file_bytes(h5py_files() / (std::string(name) + ".x.bin"));
    const auto labels = file_bytes(h5py_files() / (std::string(name) + ".y.bin"));
    const auto* values = reinterpret_cast<const std::uint16_t*>(bytes.data());
    const auto loader = make_loader(world(), manifest, options);
    options.window = loader->window();
    const LaneRange lanes[] = {{0, 4}};
    loader->start(lanes, {});
    const Split& train = *manifest.find("train");
    const std::int64_t chunk = order_chunk(*train.find("x"), *train.find("y"));
    std::vector<float> input(8 * 15);
    std::vector<std::int32_t> label(8);
    for (std::int64_t step = 0; step < loader->steps_per_epoch(); ++step)
      for (std::int64_t lane = 0; lane < 4; ++lane) {
        loader->fill(lane, {0, step}, 0, input.data(), label.data(), nullptr);
        const auto rows = expected(1009, chunk, options, lane, {0, step}, 1);
        for (std::size_t i = 0; i < rows.size(); ++i) {
          ASSERT_EQ(label[i], static_cast<int>(labels[static_cast<std::size_t>(rows[i])])) << name;
          for (int e = 0; e < 15; ++e)
            ASSERT_EQ(input[i * 15 + static_cast<std::size_t>(e)],
                      static_cast<float>(values[rows[i] * 15 + e]))
                << name;
        }
      }
  }
}

TEST(Loader, normalises_in_float) {
  Manifest manifest = numbered_rows(folder(), 1009, 7, 0);
  for (const Normalise normalise : {Normalise::kUnit, Normalise::kStandard}) {
    LoaderOptions options = options_for(1, 1, 32, 0);
    options.normalise = normalise;
    const Figures& figures = manifest.find("train")->find("features")->reference;
    const bool unit = normalise == Normalise::kUnit;
    const auto shift = static_cast<float>(unit ? figures.minimum : figures.mean);
    const auto scale =
        static_cast<float>(1 / (unit ? figures.maximum - figures.minimum : figures.deviation));
    const auto reader = make_row_reader(manifest, options);
    std::vector<float> input(1009 * 2);
    std::vector<std::int32_t> labels(1009);
    reader->read(0, 1009, input.data(), labels.data(), nullptr);
    for (std::int64_t i = 0; i < 1009; ++i) {
      ASSERT_EQ(input[static_cast<std::size_t>(2 * i)], (static_cast<float>(i) - shift) * scale);
      ASSERT_EQ(input[static_cast<std::size_t>(2 * i + 1)],
                (static_cast<float>(i * i % 97) - shift) * scale);
    }
  }
  for (Split& split : manifest.splits)
    for (Field& field : split.fields) field.reference = {};
  LoaderOptions options = options_for(1, 1, 32, 0);
  options.normalise = Normalise::kStandard;
  EXPECT_TRUE(contains_all(refusal([&] { make_row_reader(manifest, options); }),
                           {"UserError", "statistics", "/train/features", "data.normalise"}));
  const Field imported = *read_manifest(manifest.files.front()).find("train")->find("features");
  add_statistics(world(), manifest, "train", "");
  const Field& found = *manifest.find("train")->find("features");
  EXPECT_NEAR(found.reference.mean, imported.reference.mean, 1e-12 * imported.reference.mean);
  EXPECT_NEAR(found.reference.deviation, imported.reference.deviation,
              1e-12 * imported.reference.deviation);
}

TEST(Loader, reads_values_as_targets) {
  const Manifest manifest = numbered_rows(folder(), 1009, 7, 0);
  LoaderOptions options = options_for(1, 1, 32, 0);
  options.target_is_class = false;
  options.target = "features";
  const auto loader = make_loader(world(), manifest, options);
  const LaneRange lanes[] = {{0, 1}};
  loader->start(lanes, {});
  std::vector<float> input(64), targets(64);
  loader->fill(0, {}, 0, input.data(), nullptr, targets.data());
  EXPECT_EQ(input, targets);
}

TEST(RowReader, reads_any_rows) {
  const Manifest manifest = numbered_rows(folder(), 1009, 7, 4);
  const auto reader = make_row_reader(manifest, options_for(1, 1, 1, 0));
  EXPECT_EQ(reader->samples(), 1009);
  for (const auto& [first, count] : {std::pair{0, 1}, {1008, 1}, {5, 33}, {700, 309}, {3, 3}}) {
    std::vector<float> input(static_cast<std::size_t>(count) * 2);
    std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
    reader->read(first, count, input.data(), labels.data(), nullptr);
    for (int i = 0; i < count; ++i) {
      EXPECT_EQ(input[static_cast<std::size_t>(2 * i)], static_cast<float>(first + i));
      EXPECT_EQ(labels[static_cast<std::size_t>(i)], (first + i) % 5);
    }
  }
}

std::string fill_all(const Manifest& manifest, const LoaderOptions& options) {
  return refusal([&] {
    const auto loader = make_loader(world(), manifest, options);
    const LaneRange lanes[] = {{0, options.lanes}};
    loader->start(lanes, {});
    std::vector<float> input(1000);
    std::vector<std::int32_t> labels(1000);
    for (std::int64_t step = 0; step < loader->steps_per_epoch(); ++step)
      for (std::int64_t lane = 0; lane < options.lanes; ++lane)
        loader->fill(lane, {0, step}, 0, input.data(), labels.data(), nullptr);
  });
}

TEST(Loader, refuses_numbers_that_cannot_be_trusted) {
  const Manifest nan = read_manifest(h5py_files() / "nan.h5");
  LoaderOptions options = options_for(4, 1, 5, 10);
  options.classes = 4;
  EXPECT_TRUE(contains_all(fill_all(nan, options),
                           {"DataError", "nan.h5", "/train/x", "row 57", "element 1", "nan"}));
  options.check_finite = false;
  EXPECT_EQ(fill_all(nan, options), "");
  const Manifest labels = read_manifest(h5py_files() / "labels.h5");
  EXPECT_EQ(fill_all(labels, options), "");
  options.classes = 3;
  EXPECT_TRUE(contains_all(fill_all(labels, options),
                           {"DataError", "labels.h5", "/train/y", " is 3", "from 0 to 2"}));
  options.classes = 4;
  options.split = "half";
  EXPECT_TRUE(contains_all(fill_all(labels, options),
                           {"DataError", "labels.h5", "/half/y", "row 71 is 2.5"}));
  options.classes = 0;
  EXPECT_TRUE(contains_all(fill_all(labels, options), {"UserError", "/half/y", "model.outputs"}));
}

TEST(Loader, refuses_fewer_samples_than_a_batch) {
  const Manifest manifest = read_manifest(h5py_files() / "labels.h5");
  EXPECT_TRUE(contains_all(fill_all(manifest, options_for(8, 1, 13, 0)),
                           {"UserError", "100 samples", "batch of 104", "train.batch"}));
}

TEST(Loader, ends_while_its_thread_is_reading) {
  const Manifest manifest = numbered_rows(folder(), 1009, 1, 9);
  for (int i = 0; i < 20; ++i) {
    const auto loader = make_loader(world(), manifest, options_for(8, 1, 4, 0));
    const LaneRange lanes[] = {{0, 8}};
    loader->start(lanes, {});
  }
}

}  // namespace
}  // namespace lockstep::data
