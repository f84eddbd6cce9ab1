// Under mpirun: transforms in the loader. Every value of a sample tells where it lies, so that what
// was cut, mirrored and aligned can be read off it.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/draw.h"
#include "loading.h"
#include "lockstep/comm/node_store.h"
#include "lockstep/data/normalisation.h"

namespace lockstep::data {
namespace {

using namespace testing;

constexpr std::int64_t kSamples = 211, kHeight = 6, kWidth = 9;
constexpr std::int64_t kCutHeight = 4, kCutWidth = 5;

const fs::path& files() {
  static std::optional<TemporaryFolder> mine;
  static const fs::path path = [] {
    if (world().rank() == 0) {
      mine.emplace();
      const std::string command =
          fmt::format("/usr/bin/python3 {} {}", LOCKSTEP_MAKE_TRANSFORMS, mine->path().string());
      EXPECT_EQ(std::system(command.c_str()), 0);
    }
    return fs::path(comm::broadcast_text(world(), mine ? mine->path().string() : ""));
  }();
  return path;
}

Field& field_of(Manifest& manifest, const std::string& name) {
  for (Field& field : manifest.splits.front().fields)
    if (field.name == name) return field;
  throw UserError("no field {}", name);
}

// Images, or volumes with another order of axes, and masks: all cut and mirrored at random.
Manifest cut_places(const std::string& input) {
  Manifest manifest = read_manifest(world(), {.path = {(files() / "places.h5").string()}});
  for (const std::string& name : {input, std::string("mask")}) {
    Transform& t = field_of(manifest, name).transform;
    t.crop = {kCutHeight, kCutWidth};
    t.crop_random = true;
    t.flip = {0, 1};
    if (name == "volume") t.axes = {1, 2, 0};
  }
  return manifest;
}

LoaderOptions options_of_places(const std::string& input, std::int64_t lanes,
                                std::int64_t accumulate) {
  LoaderOptions options = options_for(lanes, accumulate, 3, 17);
  options.input = input;
  options.target = "mask";
  options.labels = kCutHeight * kCutWidth;
  options.classes = kSamples * kHeight * kWidth;
  return options;
}

// Reads a step of a lane and compares each value with where it should lie.
void expect_step(Loader& loader, const LoaderOptions& options, std::int64_t chunk,
                 std::int64_t lane, Position at) {
  const std::int64_t pixels = kCutHeight * kCutWidth;
  std::vector<float> input(static_cast<std::size_t>(options.microbatch * pixels * 2));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(options.microbatch * pixels));
  const auto rows = lane_order(kSamples, chunk, options, at.epoch, lane);
  for (std::int64_t micro = 0; micro < options.accumulate; ++micro) {
    loader.fill(lane, at, micro, input.data(), labels.data(), nullptr);
    std::size_t next = 0;
    for (std::int64_t i = 0; i < options.microbatch; ++i) {
      const std::int64_t place = (at.step * options.accumulate + micro) * options.microbatch + i;
      const Draw draw{options.seed, at.epoch, lane, place};
      const Draw::Choice down = draw.choose(0), right = draw.choose(1);
      for (std::int64_t y = 0; y < kCutHeight; ++y)
        for (std::int64_t x = 0; x < kCutWidth; ++x, ++next) {
          const std::int64_t from_y =
              down.begin(kHeight, kCutHeight) + (down.is_mirrored() ? kCutHeight - 1 - y : y);
          const std::int64_t from_x =
              right.begin(kWidth, kCutWidth) + (right.is_mirrored() ? kCutWidth - 1 - x : x);
          const std::int64_t row = rows[static_cast<std::size_t>(place)];
          const std::int64_t value = (row * kHeight + from_y) * kWidth + from_x;
          ASSERT_EQ(labels[next], value) << "lane " << lane << " step " << at.step;
          ASSERT_EQ(input[2 * next], static_cast<float>(2 * value));
          ASSERT_EQ(input[2 * next + 1], static_cast<float>(2 * value + 1));
        }
    }
  }
}

TEST(TransformedRanks, see_the_same_cuts_whatever_their_number_and_whoever_reads) {
  for (const std::string input : {"image", "volume"}) {
    const Manifest manifest = cut_places(input);
    const Split& split = manifest.splits.front();
    const std::int64_t chunk = order_chunk(*split.find(input), *split.find("mask"));
    for (const Position from : {Position{0, 0}, Position{1, 3}}) {
      const LoaderOptions options = options_of_places(input, 6, 2);
      const comm::LaneRange mine =
          comm::cut_lanes(6, world().size())[static_cast<std::size_t>(world().topology().position)];
      const auto loader = make_loader(world(), manifest, options);
      loader->start({&mine, 1}, from);
      for (std::int64_t s = 0; s < 9; ++s) {
        const Position at = after(from, s, loader->steps_per_epoch());
        loader->advance(at);
        for (std::int64_t lane = mine.begin; lane < mine.end; ++lane)
          expect_step(*loader, options, chunk, lane, at);
        // A lane of nobody, or of another rank: on this thread, row by row.
        const std::int64_t other = (mine.end + 1) % 6;
        if (other < mine.begin || other >= mine.end)
          expect_step(*loader, options, chunk, other, at);
      }
      world().barrier();
    }
  }
}

TEST(TransformedRanks, evaluate_the_middle_and_mirror_nothing) {
  const Manifest manifest = cut_places("volume");
  const LoaderOptions options = options_of_places("volume", 6, 2);
  const auto reader = make_row_reader(manifest, options);
  const std::int64_t pixels = kCutHeight * kCutWidth, begin_y = 1, begin_x = 2;
  std::vector<float> input(static_cast<std::size_t>(20 * pixels * 2));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(20 * pixels));
  reader->read(100, 20, input.data(), labels.data(), nullptr);
  std::size_t next = 0;
  for (std::int64_t i = 100; i < 120; ++i)
    for (std::int64_t y = 0; y < kCutHeight; ++y)
      for (std::int64_t x = 0; x < kCutWidth; ++x, ++next) {
        const std::int64_t value = (i * kHeight + begin_y + y) * kWidth + begin_x + x;
        ASSERT_EQ(labels[next], value);
        ASSERT_EQ(input[2 * next + 1], static_cast<float>(2 * value + 1));
      }
}

TEST(TransformedRanks, refuse_random_cuts_that_would_part_a_mask_from_its_image) {
  Manifest manifest = cut_places("image");
  field_of(manifest, "mask").transform.crop = {kCutHeight, kCutWidth + 1};
  LoaderOptions options = options_of_places("image", 6, 1);
  options.labels = kCutHeight * (kCutWidth + 1);
  EXPECT_TRUE(contains_all(refusal([&] { make_row_reader(manifest, options); }),
                           {"UserError", "'image'", "'mask'", "5 of 9", "6 of 9", "axis 1"}));
  field_of(manifest, "mask").transform.crop_random = false;
  field_of(manifest, "mask").transform.log1p = true;
  EXPECT_TRUE(contains_all(refusal([&] { make_row_reader(manifest, options); }),
                           {"UserError", "'mask'", "classes", "log1p"}));
}

// Bit for bit as one process measures them, and near numpy's figures.
TEST(TransformedRanks, measure_the_same_statistics_whatever_their_number) {
  const auto means = nlohmann::json::parse(std::ifstream(files() / "means.json"));
  const auto alone = comm::make_self_communicator();
  struct Case {
    const char* name;
    Normalise normalise;
    bool log1p;
  };
  for (const Case& c : {Case{"channel", Normalise::kChannel, false},
                        {"log", Normalise::kStandard, true},
                        {"log_channel", Normalise::kChannel, true}}) {
    std::vector<Field> found;
    for (comm::Communicator* communicator : {&world(), alone.get()}) {
      Manifest manifest = read_manifest(*communicator, {.path = {(files() / "wide.h5").string()}});
      Transform& t = field_of(manifest, "image").transform;
      t.log1p = c.log1p;
      if (c.log1p) t.scale = 3, t.offset = 1;
      t.crop = {5, 7};  // of no effect
      add_normalisation(*communicator, manifest, "train", "image", c.normalise);
      found.push_back(field_of(manifest, "image"));
    }
    EXPECT_EQ(found[0].centre, found[1].centre);
    EXPECT_EQ(found[0].width, found[1].width);
    const auto mean = means.at(fmt::format("{}_mean", c.name)).get<std::vector<double>>();
    const auto width = means.at(fmt::format("{}_deviation", c.name)).get<std::vector<double>>();
    ASSERT_EQ(found[0].centre.size(), mean.size());
    for (std::size_t i = 0; i < mean.size(); ++i) {
      EXPECT_NEAR(found[0].centre[i], mean[i], 1e-6 * mean[i]);
      EXPECT_NEAR(found[0].width[i], width[i], 1e-6 * width[i]);
    }
  }
}

}  // namespace
}  // namespace lockstep::data
