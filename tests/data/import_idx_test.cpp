// IDX import: the bytes of the source arrive, in the right split, with the right statistics.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/row_source.h"
#include "files.h"
#include "lockstep/data/import.h"

namespace lockstep::data {
namespace {

using namespace testing;

std::vector<std::byte> all_rows(const Manifest& manifest, const std::string& split,
                                const std::string& field) {
  const Field& f = *manifest.find(split)->find(field);
  std::vector<std::byte> rows(static_cast<std::size_t>(f.count) * f.sample_bytes());
  KeptUnit kept;
  open_rows(manifest, *manifest.find(split), f)->read(0, f.count, rows.data(), kept);
  return rows;
}

class ImportIdx : public ::testing::Test {
 protected:
  // 20 samples of 2x3 bytes: element e of sample i is 6 i + e; label i mod 4.
  ImportIdx() {
    std::vector<std::byte> elements, labels;
    for (int i = 0; i < 120; ++i) elements.push_back(static_cast<std::byte>(i));
    for (int i = 0; i < 20; ++i) labels.push_back(static_cast<std::byte>(i % 4));
    images_ = idx_bytes(0x08, {20, 2, 3}, elements);
    labels_ = idx_bytes(0x08, {20}, labels);
    write();
    options_.train = {folder_ / "images-idx3-ubyte", folder_ / "labels-idx1-ubyte"};
    options_.out = folder_ / "out.h5";
  }
  void write() {
    write_bytes(folder_ / "images-idx3-ubyte", images_.data(), images_.size());
    write_bytes(folder_ / "labels-idx1-ubyte", labels_.data(), labels_.size());
  }
  std::string import() {
    return refusal([&] { import_dataset(options_, nullptr); });
  }
  TemporaryFolder folder_;
  std::vector<std::byte> images_, labels_;
  ImportOptions options_;
};

TEST_F(ImportIdx, cuts_splits_that_hold_every_sample_once) {
  options_.val_fraction = 0.2;
  options_.test_fraction = 0.25;
  options_.chunk_bytes = 30;  // 5 rows
  for (const int deflate : {0, 6}) {
    options_.deflate = deflate;
    options_.overwrite = true;
    ASSERT_EQ(import(), "");
    const Manifest manifest = read_manifest(options_.out);
    EXPECT_EQ(manifest.find("train")->samples, 11);
    EXPECT_EQ(manifest.find("val")->samples, 4);
    EXPECT_EQ(manifest.find("test")->samples, 5);
    EXPECT_EQ(manifest.find("train")->find("image")->chunk, 5);
    EXPECT_EQ(manifest.find("train")->find("label")->chunk, 5);
    EXPECT_EQ(manifest.find("train")->find("label")->classes, 4);
    std::map<int, int> seen;
    for (const Split& split : manifest.splits) {
      const auto images = all_rows(manifest, split.name, "image");
      const auto labels = all_rows(manifest, split.name, "label");
      int before = -1;
      for (std::size_t i = 0; i < labels.size(); ++i) {
        const int sample = static_cast<int>(images[6 * i]) / 6;
        ++seen[sample];
        EXPECT_GT(sample, before);  // a split keeps the source's order
        before = sample;
        EXPECT_EQ(static_cast<int>(labels[i]), sample % 4);
        for (int e = 0; e < 6; ++e)
          EXPECT_EQ(static_cast<int>(images[6 * i + static_cast<std::size_t>(e)]), 6 * sample + e);
      }
    }
    EXPECT_EQ(seen.size(), 20U);
  }
}

TEST_F(ImportIdx, chooses_val_by_the_seed) {
  options_.val_fraction = 0.5;
  options_.overwrite = true;
  std::vector<std::vector<std::byte>> vals;
  for (const std::uint64_t seed : {1, 1, 2}) {
    options_.seed = seed;
    ASSERT_EQ(import(), "");
    vals.push_back(all_rows(read_manifest(options_.out), "val", "image"));
  }
  EXPECT_EQ(vals[0], vals[1]);
  EXPECT_NE(vals[0], vals[2]);
}

TEST_F(ImportIdx, keeps_statistics_of_the_train_split) {
  ASSERT_EQ(import(), "");
  const Manifest manifest = read_manifest(options_.out);
  const Field& field = *manifest.find("train")->find("image");
  const auto rows = all_rows(manifest, "train", "image");
  double sum = 0, squares = 0;
  for (const std::byte b : rows) sum += static_cast<int>(b);
  const double mean = sum / static_cast<double>(rows.size());
  for (const std::byte b : rows) squares += std::pow(static_cast<int>(b) - mean, 2);
  EXPECT_TRUE(field.figures.known && field.reference == field.figures);
  EXPECT_NEAR(field.figures.mean, mean, 1e-12 * mean);
  EXPECT_NEAR(field.figures.deviation, std::sqrt(squares / static_cast<double>(rows.size())), 1e-11);
  EXPECT_EQ(field.role, "input");
  const auto told = nlohmann::json::parse(manifest.text);
  EXPECT_EQ(told.at("format"), 2);
  EXPECT_EQ(field.figures.count, static_cast<std::int64_t>(rows.size()));
  int samples = 0;
  for (const Split& split : manifest.splits)
    for (const std::int64_t n : split.find("label")->figures.classes) samples += static_cast<int>(n);
  EXPECT_EQ(samples, 20);
}

TEST_F(ImportIdx, converts_every_type_from_big_endian) {
  struct Case {
    int code;
    DType dtype;
  };
  for (const auto& [code, dtype] : {Case{0x09, DType::kI8},
                                    {0x0B, DType::kI16},
                                    {0x0C, DType::kI32},
                                    {0x0D, DType::kF32},
                                    {0x0E, DType::kF64}}) {
    const std::size_t size = size_of(dtype);
    std::vector<std::byte> native(20 * 2 * size), big;
    for (std::size_t i = 0; i < 40; ++i) {
      const double value = static_cast<double>(i) - 11;
      if (dtype == DType::kF32) {
        const auto f = static_cast<float>(value * 0.3);
        std::memcpy(native.data() + i * size, &f, size);
      } else if (dtype == DType::kF64) {
        const double d = value * 0.3;
        std::memcpy(native.data() + i * size, &d, size);
      } else {
        const auto n = static_cast<std::int64_t>(value) * (size == 4   ? 1000003
                                                           : size == 2 ? 257
                                                                       : 1);
        std::memcpy(native.data() + i * size, &n, size);
      }
      for (std::size_t b = size; b-- > 0;) big.push_back(native[i * size + b]);
    }
    images_ = idx_bytes(code, {20, 2}, big);
    write();
    options_.overwrite = true;
    options_.val_fraction = 0;
    ASSERT_EQ(import(), "");
    const Manifest manifest = read_manifest(options_.out);
    EXPECT_EQ(manifest.find("train")->find("image")->dtype, dtype);
    EXPECT_EQ(all_rows(manifest, "train", "image"), native) << name_of(dtype);
  }
}

TEST_F(ImportIdx, refuses_damaged_files_and_leaves_nothing) {
  const auto expect = [&](const std::vector<std::string>& parts) {
    write();
    EXPECT_TRUE(contains_all(import(), parts));
    EXPECT_FALSE(fs::exists(options_.out));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 2);
  };
  const auto images = images_, labels = labels_;
  images_[2] = std::byte{0x77};
  expect({"DataError", "images-idx3-ubyte", "no IDX file", "77"});
  images_ = images;
  images_.pop_back();
  expect({"DataError", "images-idx3-ubyte", "ends in row 19 of 20"});
  images_ = images;
  images_.push_back(std::byte{0});
  expect({"DataError", "images-idx3-ubyte", "more bytes"});
  images_.resize(9);
  expect({"DataError", "images-idx3-ubyte", "header"});
  images_ = images;
  labels_ = idx_bytes(0x08, {19}, std::vector<std::byte>(19));
  expect({"DataError", "20 samples", "labels-idx1-ubyte has 19"});
  labels_ = idx_bytes(0x09, {20}, std::vector<std::byte>(20, std::byte{0xFF}));
  expect({"DataError", "labels-idx1-ubyte", "row 0", "-1"});
  labels_ = labels;
  std::swap(images_, labels_);
  expect({"DataError", "images first"});
}

TEST_F(ImportIdx, refuses_to_overwrite_unless_told) {
  ASSERT_EQ(import(), "");
  const auto before = file_bytes(options_.out);
  EXPECT_TRUE(contains_all(import(), {"UserError", "out.h5", "--overwrite"}));
  EXPECT_EQ(file_bytes(options_.out), before);
  options_.overwrite = true;
  EXPECT_EQ(import(), "");
  images_.pop_back();
  write();
  EXPECT_NE(import(), "");
  EXPECT_EQ(refusal([&] { inspect_check(options_.out); }), "");  // the old file is whole
}

TEST_F(ImportIdx, refuses_a_damaged_gzip_stream) {
  write_gzip(folder_ / "images-idx3-ubyte", images_);
  options_.train[0] = folder_ / "images-idx3-ubyte";
  EXPECT_EQ(import(), "");
  options_.overwrite = true;
  const auto size = fs::file_size(options_.train[0]);
  fs::resize_file(options_.train[0], size - 10);
  EXPECT_TRUE(contains_all(import(), {"DataError", "images-idx3-ubyte"}));
  write_gzip(folder_ / "images-idx3-ubyte", images_);
  flip_byte(options_.train[0], size - 6);  // the checksum
  EXPECT_TRUE(contains_all(import(), {"DataError", "images-idx3-ubyte", "gzip"}));
}

TEST_F(ImportIdx, reports_progress_to_the_end) {
  std::vector<double> told;
  import_dataset(options_, [&](double fraction) { told.push_back(fraction); });
  ASSERT_FALSE(told.empty());
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_EQ(told.back(), 1.0);
}

TEST(ImportFashion, equals_the_idx_bytes) {
  const fs::path source = "/usr/share/datasets/fashion-mnist";
  const TemporaryFolder folder;
  ImportOptions options;
  options.train = {source / "train-images-idx3-ubyte.gz", source / "train-labels-idx1-ubyte.gz"};
  options.test = {source / "t10k-images-idx3-ubyte.gz", source / "t10k-labels-idx1-ubyte.gz"};
  options.val_fraction = 0;
  options.out = folder / "fashion.h5";
  import_dataset(options, nullptr);
  const Manifest manifest = read_manifest(options.out);
  EXPECT_EQ(manifest.find("train")->samples, 60000);
  EXPECT_EQ(manifest.find("test")->samples, 10000);
  EXPECT_EQ(manifest.find("train")->find("image")->sample, (Shape{28, 28}));
  EXPECT_EQ(manifest.find("train")->find("label")->classes, 10);
  int i = 0;
  for (const auto& files : {options.train, options.test}) {
    const std::string split = i++ == 0 ? "train" : "test";
    auto images = gunzip(files[0]), labels = gunzip(files[1]);
    images.erase(images.begin(), images.begin() + 16);
    labels.erase(labels.begin(), labels.begin() + 8);
    EXPECT_TRUE(all_rows(manifest, split, "image") == images);
    EXPECT_TRUE(all_rows(manifest, split, "label") == labels);
  }
  // As published for the train split: mean 0.2860, deviation 0.3530 of pixels in [0, 1].
  const Field& image = *manifest.find("train")->find("image");
  EXPECT_NEAR(image.reference.mean / 255, 0.2860, 5e-5);
  EXPECT_NEAR(image.reference.deviation / 255, 0.3530, 5e-5);
  const std::string text = inspect_text(options.out);
  EXPECT_TRUE(
      contains_all(text, {"train  image", "60000 x 28x28", "u8", "334 rows", "6000", "72.94"}));
}

}  // namespace
}  // namespace lockstep::data
