// Damaged and unsuitable files give one sentence, never a crash and never a wrong value in silence.
#include <gtest/gtest.h>

#include <fstream>

#include "loading.h"
#include "lockstep/data/import.h"

namespace lockstep::data {
namespace {

using namespace testing;

class Damage : public ::testing::Test {
 protected:
  fs::path copy(const char* name) {
    fs::copy_file(h5py_files() / name, folder_ / name, fs::copy_options::overwrite_existing);
    return folder_ / name;
  }
  static std::string open(const fs::path& file) {
    return refusal([&] { read_manifest(file); });
  }
  static std::string check(const fs::path& file) {
    return refusal([&] { inspect_check(file); });
  }
  TemporaryFolder folder_;
};

TEST_F(Damage, refuses_a_file_that_is_not_there_or_not_hdf5) {
  EXPECT_TRUE(contains_all(open(folder_ / "none.h5"), {"UserError", "none.h5", "No such file"}));
  write_text(folder_ / "text.h5", "not HDF5 at all");
  EXPECT_TRUE(
      contains_all(open(folder_ / "text.h5"), {"DataError", "text.h5", "not a readable HDF5"}));
  write_text(folder_ / "nothing.h5", "");
  EXPECT_TRUE(contains_all(open(folder_ / "nothing.h5"), {"DataError", "nothing.h5"}));
  EXPECT_TRUE(contains_all(open(folder_.path()), {"DataError"}));
}

TEST_F(Damage, refuses_a_truncated_file_at_any_length) {
  const auto whole = fs::file_size(h5py_files() / "gzip.h5");
  for (const double part : {0.001, 0.1, 0.5, 0.9, 0.999}) {
    const fs::path file = copy("gzip.h5");
    fs::resize_file(file, static_cast<std::uintmax_t>(static_cast<double>(whole) * part));
    EXPECT_TRUE(contains_all(open(file), {"DataError", "gzip.h5"})) << part;
  }
}

TEST_F(Damage, refuses_a_flipped_superblock) {
  for (const std::uint64_t at : {0, 3, 8}) {
    const fs::path file = copy("chunk7.h5");
    flip_byte(file, at);
    EXPECT_TRUE(contains_all(open(file), {"DataError", "chunk7.h5"})) << at;
  }
}

TEST_F(Damage, never_crashes_on_a_flipped_byte_of_metadata) {
  const fs::path source = h5py_files() / "damage.h5";
  for (std::uint64_t at = 0; at < 2048; at += 37) {
    const fs::path file = copy("damage.h5");
    flip_byte(file, at);
    const std::string opened = open(file), checked = check(file);
    for (const std::string& sentence : {opened, checked})
      EXPECT_TRUE(sentence.empty() || sentence.find("damage.h5") != std::string::npos) << sentence;
  }
}

TEST_F(Damage, names_the_rows_of_a_chunk_whose_stream_is_damaged) {
  std::ifstream places(h5py_files() / "damage.txt");
  std::uint64_t row, offset, size;
  int chunks = 0;
  for (; places >> row >> offset >> size; ++chunks)
    for (const std::uint64_t byte : {std::uint64_t{0}, size / 2, size - 1}) {
      const fs::path file = copy("damage.h5");
      flip_byte(file, offset + byte);
      const std::string expected_rows = fmt::format("rows {} to {}", row, row + 9);
      EXPECT_TRUE(contains_all(check(file), {"DataError", "damage.h5", "/train/x", expected_rows}));
    }
  EXPECT_EQ(chunks, 10);
}

TEST_F(Damage, surfaces_from_fill_on_the_callers_thread) {
  std::ifstream places(h5py_files() / "damage.txt");
  std::uint64_t row, offset, size;
  for (int i = 0; i < 4; ++i) places >> row >> offset >> size;
  const fs::path file = copy("damage.h5");
  flip_byte(file, offset + size / 2);
  const Manifest manifest = read_manifest(file);
  const LoaderOptions options = options_for(2, 1, 5, 10);
  const auto loader = make_loader(world(), manifest, options);
  const comm::LaneRange lanes[] = {{0, 2}};
  loader->start(lanes, {});
  std::vector<float> input(5 * 15);
  std::vector<std::int32_t> labels(5);
  const auto run = [&] {
    for (std::int64_t step = 0; step < 10; ++step)
      for (const std::int64_t lane : {0, 1})
        loader->fill(lane, {0, step}, 0, input.data(), labels.data(), nullptr);
  };
  EXPECT_TRUE(contains_all(refusal(run), {"DataError", "damage.h5", "/train/x", "rows 30 to 39"}));
}

TEST_F(Damage, refuses_what_cannot_be_a_dataset) {
  EXPECT_TRUE(
      contains_all(open(h5py_files() / "unequal.h5"),
                   {"DataError", "unequal.h5", "/train/y", "9 samples", "/train/x has 10"}));
  EXPECT_TRUE(contains_all(open(h5py_files() / "text.h5"),
                           {"DataError", "text.h5", "/train/y", "element type"}));
  EXPECT_TRUE(
      contains_all(open(h5py_files() / "empty.h5"), {"DataError", "empty.h5", "no datasets"}));
}

TEST_F(Damage, finds_the_first_bad_row_of_a_file) {
  EXPECT_TRUE(contains_all(check(h5py_files() / "nan.h5"),
                           {"DataError", "nan.h5", "/train/x", "row 57", "element 1"}));
  EXPECT_EQ(check(h5py_files() / "shuffle_gzip.h5"), "");
}

TEST_F(Damage, refuses_a_file_that_changed_after_it_was_opened) {
  const fs::path file = copy("chunk7.h5");
  const Manifest manifest = read_manifest(file);
  fs::copy_file(h5py_files() / "shuffle.h5", file, fs::copy_options::overwrite_existing);
  EXPECT_TRUE(contains_all(refusal([&] { make_row_reader(manifest, options_for(1, 1, 1, 0)); }),
                           {"DataError", "chunk7.h5", "/train/x", "changed"}));
}

TEST_F(Damage, refuses_a_missing_field_of_an_imported_file) {
  const Manifest manifest = numbered_rows(folder_.path(), 100, 10, 0);
  const std::string remove = "/usr/bin/python3 -c \"import h5py; f = h5py.File('" +
                             manifest.files.front().string() +
                             "', 'a'); f['val/features'] = f['train/features'][...]\"";
  ASSERT_EQ(std::system(remove.c_str()), 0);
  EXPECT_TRUE(contains_all(open(manifest.files.front()), {"DataError", "/val/label", "missing"}));
}

}  // namespace
}  // namespace lockstep::data
