// Every way to read a field gives the bits that h5py wrote.
#include <gtest/gtest.h>

#include <cstring>

#include "data/row_source.h"
#include "files.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {
namespace {

using namespace testing;

std::vector<std::byte> read_field(const Manifest& manifest, const Field& field,
                                  std::int64_t at_once) {
  const auto reader = open_rows(manifest, *manifest.find("train"), field);
  std::vector<std::byte> all(static_cast<std::size_t>(field.count) * field.sample_bytes());
  KeptUnit kept;
  for (std::int64_t first = 0; first < field.count; first += at_once)
    reader->read(first, std::min(at_once, field.count - first),
                 all.data() + static_cast<std::size_t>(first) * field.sample_bytes(), kept);
  return all;
}

TEST(Reading, equals_h5py_in_every_layout) {
  for (const char* name :
       {"contiguous", "contiguous_big", "chunk1", "chunk7", "chunk1000", "gzip", "shuffle_gzip",
        "shuffle", "big_gzip", "fletcher", "lzf", "split_samples", "resizable", "fill"}) {
    const fs::path path = h5py_files() / (std::string(name) + ".h5");
    const Manifest manifest = read_manifest(path);
    ASSERT_EQ(manifest.splits.size(), 1U) << name;
    EXPECT_EQ(manifest.splits[0].samples, 1009) << name;
    EXPECT_EQ(manifest.find("train")->find("x")->sample, (Shape{3, 5})) << name;
    for (const char* field : {"x", "y"})
      for (const std::int64_t at_once : {1, 7, 31, 32, 33, 1000, 1009})
        EXPECT_EQ(read_field(manifest, *manifest.find("train")->find(field), at_once),
                  file_bytes(h5py_files() / (std::string(name) + "." + field + ".bin")))
            << name << " " << field << " " << at_once;
  }
}

TEST(Reading, equals_h5py_for_every_type_in_both_byte_orders) {
  const fs::path path = h5py_files() / "types.h5";
  const Manifest manifest = read_manifest(path);
  const Split* train = manifest.find("train");  // datasets in the root
  ASSERT_NE(train, nullptr);
  ASSERT_EQ(train->fields.size(), 22U);
  for (const Field& field : train->fields) {
    const std::string kind = field.name.substr(field.name.find('_') + 1);
    const std::string bits = std::to_string(8 * (kind[1] - '0'));
    EXPECT_EQ(name_of(field.dtype), kind[0] + bits) << field.name;
    EXPECT_EQ(read_field(manifest, field, 100),
              file_bytes(h5py_files() / ("types." + field.name + ".bin")))
        << field.name;
  }
}

TEST(Reading, equals_h5py_for_chunks_above_a_megabyte) {
  const fs::path path = h5py_files() / "wide.h5";
  const Manifest manifest = read_manifest(path);
  for (const std::int64_t at_once : {1, 7, 16, 40})
    EXPECT_EQ(read_field(manifest, *manifest.find("train")->find("x"), at_once),
              file_bytes(h5py_files() / "wide.x.bin"));
}

TEST(Reading, decodes_a_chunk_once_for_consecutive_reads) {
  const fs::path path = h5py_files() / "gzip.h5";
  const Manifest manifest = read_manifest(path);
  const Field& field = *manifest.find("train")->find("x");
  const auto reader = open_rows(manifest, *manifest.find("train"), field);
  std::vector<std::byte> row(field.sample_bytes());
  KeptUnit kept;
  const std::int64_t first = reader->read(0, 1, row.data(), kept);
  EXPECT_GT(first, 0);
  for (int i = 1; i < 7; ++i) EXPECT_EQ(reader->read(i, 1, row.data(), kept), 0);
  EXPECT_GT(reader->read(7, 1, row.data(), kept), 0);
}

TEST(Reading, finds_classes_of_foreign_labels) {
  const Manifest manifest = read_manifest(h5py_files() / "labels.h5");
  EXPECT_EQ(manifest.find("train")->find("y")->classes, 4);
  EXPECT_EQ(manifest.find("half")->find("y")->classes, 0);  // floats
  EXPECT_EQ(&resolve_field(manifest, "train", "", "input"), manifest.find("train")->find("x"));
  EXPECT_EQ(&resolve_field(manifest, "train", "", "target"), manifest.find("train")->find("y"));
  EXPECT_TRUE(contains_all(refusal([&] { resolve_field(manifest, "train", "z", "target"); }),
                           {"UserError", "labels.h5", "\"z\"", "x, y"}));
  EXPECT_TRUE(contains_all(refusal([&] { resolve_field(manifest, "tset", "", "input"); }),
                           {"UserError", "labels.h5", "\"tset\"", "train"}));
}

}  // namespace
}  // namespace lockstep::data
