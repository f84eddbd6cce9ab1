// CSV import: cells become the right numbers, classes and refusals.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "data/importers/csv_survey.h"
#include "data/row_source.h"
#include "files.h"
#include "lockstep/data/import.h"

namespace lockstep::data {
namespace {

using namespace testing;

class ImportCsv : public ::testing::Test {
 protected:
  ImportCsv() {
    options_.train = {folder_ / "a.csv"};
    options_.out = folder_ / "out.h5";
    options_.val_fraction = 0;
    options_.overwrite = true;
  }
  std::string import(const std::string& text) {
    write_text(folder_ / "a.csv", text);
    return refusal([&] { import_dataset(options_, nullptr); });
  }
  template <class T>
  std::vector<T> values(const std::string& field, const std::string& split = "train") {
    const Manifest manifest = read_manifest(options_.out);
    const Field& f = *manifest.find(split)->find(field);
    EXPECT_EQ(size_of(f.dtype), sizeof(T));
    std::vector<T> all(static_cast<std::size_t>(f.count * f.sample.elements()));
    KeptUnit kept;
    open_rows(manifest, *manifest.find(split), f)
        ->read(0, f.count, reinterpret_cast<std::byte*>(all.data()), kept);
    return all;
  }
  using Floats = std::vector<float>;
  using Bytes = std::vector<std::uint8_t>;
  TemporaryFolder folder_;
  ImportOptions options_;
};

TEST_F(ImportCsv, takes_numbers_as_features_and_the_last_column_as_target) {
  ASSERT_EQ(import("a,b,c\n1,2.5,0\n-3e2, +4 ,2\n.5,1e-60,1\n"), "");
  EXPECT_EQ(values<float>("features"), (Floats{1, 2.5F, -300, 4, 0.5F, 0}));
  EXPECT_EQ(values<std::uint8_t>("label"), (Bytes{0, 2, 1}));
  const Manifest manifest = read_manifest(options_.out);
  EXPECT_EQ(manifest.find("train")->find("features")->sample, Shape{2});
  EXPECT_EQ(manifest.find("train")->find("label")->classes, 3);
}

TEST_F(ImportCsv, reads_the_forms_that_files_have) {
  const Floats expected{1, 2, 3, 4};
  for (const char* text :
       {"a,b,y\n1,2,0\n3,4,1\n", "a,b,y\r\n1,2,0\r\n3,4,1\r\n", "a,b,y\n1,2,0\n3,4,1",
        "a,b,y\r1,2,0\r3,4,1\r",
        "\xEF\xBB\xBF"
        "a,b,y\n1,2,0\n3,4,1\n",
        "a,b,y\n\n1,2,0\n\r\n3,4,1\n\n", "\"a\",\"b\",\"y\"\n\"1\",\"2\",\"0\"\n\"3\",\"4\",\"1\"",
        " a , b , y \n 1 , 2 , 0 \n\t3,4 ,1"}) {
    ASSERT_EQ(import(text), "") << text;
    EXPECT_EQ(values<float>("features"), expected) << text;
    EXPECT_EQ(values<std::uint8_t>("label"), (Bytes{0, 1})) << text;
  }
}

TEST_F(ImportCsv, numbers_names_in_their_order) {
  ASSERT_EQ(import("name,x,y\nanna,1,\"dog, big\"\nbert,2,cat\nc,3,\"dog, big\"\nd,4,\"say "
                   "\"\"a\nb\"\"\"\n"),
            "");
  EXPECT_EQ(values<float>("features"), (Floats{1, 2, 3, 4}));
  EXPECT_EQ(values<std::uint8_t>("label"), (Bytes{1, 0, 1, 2}));
  const auto told = nlohmann::json::parse(read_manifest(options_.out).text);
  EXPECT_EQ(told.at("fields").at("label").at("class_names"),
            (std::vector<std::string>{"cat", "dog, big", "say \"a\nb\""}));
  EXPECT_EQ(told.at("made").at("left_out"), std::vector<std::string>{"name"});
  EXPECT_EQ(told.at("fields").at("features").at("columns"), std::vector<std::string>{"x"});
}

TEST_F(ImportCsv, numbers_negative_classes_by_value) {
  ASSERT_EQ(import("x,y\n1,10\n2,-1\n3,2\n"), "");
  EXPECT_EQ(values<std::uint8_t>("label"), (Bytes{2, 0, 1}));
}

TEST_F(ImportCsv, takes_a_named_target_and_number_targets) {
  options_.target = "a";
  ASSERT_EQ(import("a,b\n1,7\n0,8\n"), "");
  EXPECT_EQ(values<std::uint8_t>("label"), (Bytes{1, 0}));
  EXPECT_EQ(values<float>("features"), (Floats{7, 8}));
  options_.target_is_class = false;
  ASSERT_EQ(import("a,b\n1.5,7\n-2,8\n"), "");
  EXPECT_EQ(values<float>("target"), (Floats{1.5F, -2}));
  EXPECT_TRUE(read_manifest(options_.out).find("train")->find("target")->reference.known);
  options_.target = "z";
  EXPECT_TRUE(contains_all(import("a,b\n1,2\n"), {"UserError", "a.csv", "\"z\"", "a, b"}));
}

TEST_F(ImportCsv, takes_labels_above_a_byte) {
  ASSERT_EQ(import("x,y\n1,300\n2,256\n"), "");
  EXPECT_EQ(values<std::int32_t>("label"), (std::vector<std::int32_t>{300, 256}));
}

TEST_F(ImportCsv, joins_classes_of_train_and_test) {
  write_text(folder_ / "t.csv", "x,y\n5,ant\n6,cow\n");
  options_.test = {folder_ / "t.csv"};
  ASSERT_EQ(import("x,y\n1,cow\n2,bee\n"), "");
  EXPECT_EQ(values<std::uint8_t>("label"), (Bytes{2, 1}));
  EXPECT_EQ(values<std::uint8_t>("label", "test"), (Bytes{0, 2}));
  write_text(folder_ / "t.csv", "z,y\n5,ant\n");
  EXPECT_TRUE(contains_all(import("x,y\n1,cow\n"), {"DataError", "t.csv", "a.csv", "columns"}));
}

TEST_F(ImportCsv, refuses_bad_cells_naming_line_and_column) {
  const auto expect = [&](const char* text, const std::vector<std::string>& parts) {
    fs::remove(options_.out);
    EXPECT_TRUE(contains_all(import(text), parts)) << text;
    EXPECT_FALSE(fs::exists(options_.out));
  };
  expect("x,y\n1,0\nabc,1\n", {"DataError", "a.csv", "line 3", "\"x\"", "\"abc\""});
  expect("x,y\n1,0\n\n,1\n", {"DataError", "a.csv", "line 4", "\"x\"", "empty"});
  expect("x,y\n1,0\n2,\n", {"DataError", "a.csv", "line 3", "\"y\"", "empty"});
  expect("x,y\n1,0\nnan,1\n", {"DataError", "line 3", "\"x\"", "\"nan\""});
  expect("x,y\n1,0\n1e39,1\n", {"DataError", "line 3", "\"x\"", "1e39"});
  expect("x,y\n1,0\n1,2,3\n", {"DataError", "line 3", "3 cells", "header has 2"});
  expect("x,y\n\"1,0\n", {"DataError", "a.csv", "line 2", "never closed"});
  expect("x,y\n\"1\"2,0\n", {"DataError", "a.csv", "line 2", "closing quote"});
  expect("x,y\n\"a\nb\",0\nc,1\n1,1\n", {"DataError", "line 2", "\"x\""});
  expect("x,y\n1,0.5\n2,1\n", {"UserError", "\"y\"", "fractions"});
  expect("x,x\n1,0\n", {"DataError", "two columns \"x\""});
  expect("x\n1\n", {"DataError", "one column"});
  expect("x,y\n", {"DataError", "a.csv", "no rows"});
  expect("", {"DataError", "a.csv", "empty"});
  expect("\n\n", {"DataError", "a.csv", "empty"});
  expect("n,y\na,0\nb,1\n", {"DataError", "no column of numbers"});
  options_.target_is_class = false;
  expect("x,y\n1,0\n2,z\n", {"DataError", "line 3", "\"y\"", "\"z\""});
}

TEST_F(ImportCsv, refuses_options_that_make_no_sense) {
  const char* good = "x,y\n1,0\n2,1\n";
  options_.val_fraction = 0.9;
  EXPECT_TRUE(contains_all(import(good), {"UserError", "val_fraction"}));
  options_.val_fraction = -1;
  EXPECT_TRUE(contains_all(import(good), {"UserError", "val_fraction"}));
  options_.val_fraction = 0;
  options_.deflate = 10;
  EXPECT_TRUE(contains_all(import(good), {"UserError", "deflate"}));
  options_.deflate = 0;
  options_.format = "xml";
  EXPECT_TRUE(contains_all(import(good), {"UserError", "\"xml\"", "idx, csv, npy"}));
  options_.format = "csv";
  options_.out = folder_ / "no" / "out.h5";
  EXPECT_TRUE(contains_all(import(good), {"UserError", "out.h5"}));
  options_.train = {folder_ / "none.csv"};
  EXPECT_TRUE(contains_all(import(good), {"UserError", "none.csv", "No such file"}));
}

TEST(ParseNumber, takes_floats_as_the_nearest_and_nothing_else) {
  float value;
  EXPECT_TRUE(parse_number("0.1", value));
  EXPECT_EQ(value, 0.1F);
  EXPECT_TRUE(parse_number("16777217.0000001", value));  // by way of double this rounds down
  EXPECT_EQ(value, 16777218.0F);
  EXPECT_TRUE(parse_number("1e-45", value));
  EXPECT_EQ(value, 1e-45F);
  for (const char* bad :
       {"", " ", "+", "-", "+-1", "1 2", "0x10", "1e", "inf", "-nan", "1e400", "1,5"})
    EXPECT_FALSE(parse_number(bad, value)) << bad;
}

}  // namespace
}  // namespace lockstep::data
