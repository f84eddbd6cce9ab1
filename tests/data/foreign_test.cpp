// Other people's files, described as a run file does: what is read is what h5py reads, bit for bit.
#include "foreign.h"

#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "data/pieced_rows.h"
#include "data/row_source.h"
#include "data/selected_rows.h"
#include "lockstep/data/loader.h"

namespace lockstep::data {
namespace {

using namespace testing;

void expect_equal(const Manifest& manifest, const std::string& split, const std::string& field,
                  const std::string& oracle) {
  const Split* found = manifest.find(split);
  ASSERT_NE(found, nullptr) << split;
  ASSERT_NE(found->find(field), nullptr) << field;
  const auto expected = file_bytes(foreign_files() / (oracle + ".bin"));
  for (const std::int64_t at_once : {1, 5, 1000})
    EXPECT_TRUE(read_rows(manifest, *found, *found->find(field), at_once) == expected)
        << oracle << ", " << at_once << " at once";
}

TEST(Foreign, one_sample_a_file_equals_h5py) {
  const Manifest manifest = read_manifest(deepcam());
  EXPECT_EQ(manifest.find("train")->samples, 37);
  const Field& data = *manifest.find("train")->find("data");
  EXPECT_EQ(data.sample, (Shape{12, 10, 16}));
  EXPECT_EQ(data.unit, "K");
  EXPECT_EQ(data.pieces.size(), 37U);
  EXPECT_EQ(manifest.find("train")->find("number")->classes, 3);
  expect_equal(manifest, "train", "data", "deepcam.data");
  expect_equal(manifest, "train", "labels", "deepcam.labels");
  expect_equal(manifest, "train", "number", "deepcam.number");
  expect_equal(manifest, "val", "data", "deepcam_val.data");
  expect_equal(manifest, "val", "labels", "deepcam_val.labels");
}

TEST(Foreign, blocks_of_volumes_beside_one_label_a_file_equal_h5py) {
  const Manifest manifest = read_manifest(cosmo());
  const Split& train = *manifest.find("train");
  EXPECT_EQ(train.samples, 2 * 5 * 3 + 2 * 4 * 3 + 2 * 3 * 3);
  EXPECT_EQ(train.find("full")->sample, (Shape{4, 2, 4, 4}));
  EXPECT_EQ(train.find("unitPar")->pieces[1].samples, 2 * 4 * 3);
  expect_equal(manifest, "train", "full", "cosmo.full");
  expect_equal(manifest, "train", "unitPar", "cosmo.unitPar");
}

TEST(Foreign, one_group_a_sample_equals_h5py) {
  Description d = described("groups/g*.h5");
  d.fields = {field("image", "/samples/*/image", Layout::kSample),
              field("label", "/samples/*/label", Layout::kSample)};
  const Manifest manifest = read_manifest(d);
  EXPECT_EQ(manifest.find("train")->samples, 84);
  EXPECT_EQ(manifest.find("train")->find("label")->classes, 7);
  expect_equal(manifest, "train", "image", "groups.image");
  expect_equal(manifest, "train", "label", "groups.label");
}

TEST(Foreign, a_label_a_group_stands_for_all_blocks_of_the_group) {
  Description d = described("group_blocks/a.h5");
  d.fields = {field("label", "/*/label", Layout::kSample),
              field("volume", "/*/volume", Layout::kBlocks, {2, 3})};
  const Manifest manifest = read_manifest(d);
  expect_equal(manifest, "train", "volume", "group_blocks.volume");
  expect_equal(manifest, "train", "label", "group_blocks.label");
}

TEST(Foreign, files_of_rows_with_chunks_of_their_own_equal_h5py) {
  Description d = described("parts/part-*.h5");
  const auto check = [](const Manifest& manifest) {
    EXPECT_EQ(manifest.find("train")->find("x")->pieces.size(), 4U) << "the empty one is left out";
    for (const char* split : {"train", "val"})
      for (const char* name : {"x", "y"})
        expect_equal(manifest, split, name, fmt::format("parts.{}.{}", split, name));
  };
  check(read_manifest(d));  // as they are found
  d.fields = {field("x", "/{split}/x"), field("y", "{split}/y")};
  d.splits = {{.name = "train"}, {.name = "val"}};
  check(read_manifest(d));
  d.splits = {{.name = "val"}, {.name = "train"}, {.name = "again", .group = "val"}};
  check(read_manifest(d));
  expect_equal(read_manifest(d), "again", "x", "parts.val.x");
}

TEST(Foreign, types_of_other_programs_equal_h5py) {
  const Manifest manifest = read_manifest(described("types/types.h5"));
  for (const char* name : {"truth", "named", "colour", "half"})
    expect_equal(manifest, "train", name, fmt::format("types.{}", name));
  EXPECT_EQ(manifest.find("train")->find("named")->classes, 3);
  EXPECT_EQ(manifest.find("train")->find("colour")->dtype, DType::kI16);
}

TEST(Foreign, virtual_datasets_links_and_external_storage_equal_h5py) {
  expect_equal(read_manifest(described("virtual/all.h5")), "train", "x", "virtual.x");
  expect_equal(read_manifest(described("virtual/counted.h5")), "train", "x", "counted.x");
  const Manifest links = read_manifest(described("links/main.h5"));
  expect_equal(links, "train", "x", "links.x");
  expect_equal(links, "val", "x", "links.x");
  EXPECT_EQ(links.files.size(), 2U) << "the link's file is read as one of its own";
  expect_equal(read_manifest(described("external/near.h5")), "train", "x", "external.x");
}

// Whether a file of a folder was opened since it was made or asked.
class OpenWatch {
 public:
  explicit OpenWatch(const fs::path& folder) : queue_(::inotify_init1(IN_NONBLOCK)) {
    EXPECT_GE(::inotify_add_watch(queue_, folder.c_str(), IN_OPEN), 0);
  }
  ~OpenWatch() { ::close(queue_); }
  bool was_opened() const {
    std::byte events[65536];
    return ::read(queue_, events, sizeof events) > 0;
  }

 private:
  int queue_;
};

TEST(Foreign, other_files_are_opened_only_within_reach) {
  const OpenWatch outside(foreign_files() / "outside");
  const struct {
    const char *file, *target;
  } cases[] = {{"virtual/far.h5", "secret.h5"},   {"virtual/counted_far.h5", "c-0.h5"},
               {"links/far.h5", "secret.h5"},     {"links/absolute.h5", "secret.h5"},
               {"links/by_symlink.h5", "sly.h5"}, {"external/far.h5", "far.raw"}};
  for (const auto& c : cases) {
    Description d = described(c.file);
    const std::string sentence = refusal([&] { read_manifest(d); });
    EXPECT_TRUE(contains_all(sentence, {"UserError", c.file, c.target, "data.follow = \"any\""}));
    EXPECT_FALSE(outside.was_opened()) << c.file;
    d.follow = Follow::kAny;
    EXPECT_EQ(refusal([&] { read_manifest(d); }), "") << c.file;
    // A file that is named need not be allowed; what leads from it must.
    d.follow = Follow::kFolder;
    d.path.push_back((foreign_files() / "outside/secret.h5").string());
    EXPECT_FALSE(contains_all(refusal([&] { read_manifest(d); }), {"data.follow"})) << c.file;
    EXPECT_TRUE(outside.was_opened()) << c.file;
  }
  for (const char* file : {"virtual/all.h5", "links/main.h5", "external/near.h5"}) {
    Description d = described(file);
    d.follow = Follow::kNone;
    EXPECT_TRUE(contains_all(refusal([&] { read_manifest(d); }),
                             {"UserError", file, "data.follow = \"none\""}));
  }
}

TEST(Foreign, targets_that_are_not_there_are_named) {
  const struct {
    const char* file;
    std::vector<std::string> parts;
  } cases[] = {{"virtual/gone.h5", {"DataError", "nowhere.h5", "fill value"}},
               {"links/gone.h5", {"DataError", "link /train/x", "nowhere.h5"}},
               {"links/circle.h5", {"DataError", "circle"}}};
  for (const auto& c : cases)
    EXPECT_TRUE(contains_all(refusal([&] { read_manifest(described(c.file)); }), c.parts));
}

TEST(Foreign, fractions_cut_all_samples_into_disjoint_splits) {
  Description d = described("parts/part-*.h5");
  d.fields = {field("x", "/train/x"), field("y", "/train/y")};
  d.splits = {
      {.name = "train", .fraction = 0.7}, {.name = "val", .fraction = 0.2}, {.name = "test"}};
  const auto oracle = file_bytes(foreign_files() / "parts.train.x.bin");
  std::set<std::vector<std::byte>> seen, first;
  for (const std::uint64_t seed : {1, 2}) {
    d.split_seed = seed;
    const Manifest manifest = read_manifest(d);
    std::vector<std::byte> all;
    std::int64_t samples = 0;
    for (const auto& [name, count] : {std::pair("train", 279), {"val", 79}, {"test", 40}}) {
      const Split& split = *manifest.find(name);
      EXPECT_NEAR(split.samples, count, 1) << name;
      samples += split.samples;
      const auto rows = read_rows(manifest, split, *split.find("x"), 7);
      EXPECT_TRUE(rows == read_rows(manifest, split, *split.find("x"), 1000));
      const auto chosen = selected_rows(split.selection);
      EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
      for (std::size_t i = 0; i < chosen.size(); ++i) {
        const auto expected = oracle.begin() + 60 * chosen[i];
        ASSERT_TRUE(std::equal(expected, expected + 60, rows.begin() + 60 * static_cast<long>(i)));
        EXPECT_TRUE(seen.emplace(expected, expected + 60).second) << "a sample in two splits";
      }
    }
    EXPECT_EQ(samples, 398);
    EXPECT_EQ(seen.size(), 398U);
    seen.clear();
    const auto chosen =
        read_rows(manifest, *manifest.find("test"), *manifest.find("test")->find("x"), 9);
    EXPECT_TRUE(first.insert(chosen).second) << "another seed, other samples";
  }
}

TEST(Foreign, splits_by_files_and_fractions_stand_side_by_side) {
  Description d = deepcam();
  d.splits[0].files.clear();
  d.path = {(foreign_files() / "deepcam/*.h5").string()};
  d.splits.push_back({.name = "test", .fraction = 0.25});
  const Manifest manifest = read_manifest(d);
  EXPECT_EQ(manifest.find("train")->samples, 28);
  EXPECT_EQ(manifest.find("test")->samples, 9);
  expect_equal(manifest, "val", "data", "deepcam_val.data");
}

TEST(Foreign, many_threads_read_more_pieces_than_stay_open) {
  Description d = described("groups/g*.h5");
  d.fields = {field("image", "/samples/*/image", Layout::kSample),
              field("label", "/samples/*/label", Layout::kSample)};
  const Manifest manifest = read_manifest(d);
  const Split& train = *manifest.find("train");
  const auto expected = file_bytes(foreign_files() / "groups.image.bin");
  ASSERT_GT(static_cast<std::size_t>(train.samples), PiecedRows::kMostOpen);
  const auto rows = open_rows(manifest, train, *train.find("image"));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      KeptUnit kept;
      std::byte sample[120];
      for (std::int64_t i = 0; i < 500; ++i) {
        const std::int64_t row = (i * 37 + t * 11) % train.samples;
        rows->read(row, 1, sample, kept);
        ASSERT_TRUE(std::equal(sample, sample + 120, expected.begin() + 120 * row));
      }
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(Foreign, what_does_not_fit_is_named) {
  const auto sentence = [](const std::vector<std::string>& files,
                           std::vector<FieldDescription> fields,
                           std::vector<SplitDescription> splits = {}) {
    Description d;
    for (const std::string& file : files) d.path.push_back((foreign_files() / file).string());
    d.fields = std::move(fields);
    d.splits = std::move(splits);
    return refusal([&] {
      const Manifest manifest = read_manifest(d);
      for (const Field& f : manifest.splits[0].fields)
        read_rows(manifest, manifest.splits[0], f, 1);
    });
  };
  const auto sample = field("x", "/x", Layout::kSample);
  // Of files that hold one sample each the first is looked at, the others when they are read.
  EXPECT_TRUE(contains_all(sentence({"wrong/shape*.h5"}, {sample}),
                           {"DataError", "shape2.h5", "3x5", "3x4", "field x"}));
  EXPECT_TRUE(contains_all(sentence({"wrong/shape*.h5"}, {field("rows", "/rows")}),
                           {"DataError", "shape2.h5", "5", "shape0.h5"}));
  EXPECT_TRUE(contains_all(
      sentence({"wrong/shape0.h5", "wrong/shape1.h5"}, {field("rows", "/rows"), field("y", "/y")}),
      {"DataError", "shape1.h5", "rows has 10", "y has 9"}));
  EXPECT_TRUE(
      contains_all(sentence({"wrong/lacks.h5"}, {field("image", "/*/image", Layout::kSample),
                                                 field("label", "/*/label", Layout::kSample)}),
                   {"DataError", "lacks.h5", "s1", "image", "label"}));
  EXPECT_TRUE(contains_all(sentence({"wrong/shape0.h5"}, {field("x", "/rwos")}),
                           {"UserError", "/rwos", "rows, x, y"}));
  EXPECT_TRUE(
      contains_all(sentence({"wrong/no*.h5"}, {sample}), {"UserError", "data.path", "no*.h5"}));
  EXPECT_TRUE(contains_all(
      sentence({"cosmo/u0.hdf5"}, {field("full", "/full", Layout::kBlocks, {3, 2, 4})}),
      {"UserError", "u0.hdf5", "8 is no multiple of 3"}));
  EXPECT_TRUE(
      contains_all(sentence({"types/types.h5"}, {},
                            {{.name = "a", .fraction = 0.7}, {.name = "b", .fraction = 0.7}}),
                   {"UserError", "1.4"}));
  EXPECT_TRUE(contains_all(sentence({"types/types.h5"}, {}, {{.name = "a"}, {.name = "b"}}),
                           {"UserError", "same samples"}));
  EXPECT_TRUE(contains_all(sentence({"parts/part-0.h5"}, {}, {{.name = "a", .fraction = 0.7}}),
                           {"UserError", "train, val"}));
}

TEST(Foreign, files_of_one_sample_are_not_opened_before_they_are_read) {
  const TemporaryFolder folder;
  for (int i = 0; i < 300; ++i) write_text(folder / fmt::format("x{:03}.h5", i), "no HDF5");
  fs::copy_file(foreign_files() / "deepcam/data-0000.h5", folder / "a.h5");
  Description d = described("");
  d.path = {(folder / "a.h5").string(), (folder / "x*.h5").string()};
  d.fields = {field("data", "/climate/data", Layout::kSample)};
  const Manifest manifest = read_manifest(d);
  const Split& train = *manifest.find("train");
  EXPECT_EQ(train.samples, 301);
  const auto rows = open_rows(manifest, train, train.fields[0]);
  std::vector<std::byte> sample(train.fields[0].sample_bytes());
  KeptUnit kept;
  rows->read(0, 1, sample.data(), kept);
  EXPECT_TRUE(contains_all(refusal([&] { rows->read(7, 1, sample.data(), kept); }),
                           {"DataError", "x006.h5"}));
}

}  // namespace
}  // namespace lockstep::data
