// Text import: the bytes of the files arrive in their order, in the right split, with their
// tokenizer.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "files.h"
#include "lockstep/data/dataset.h"
#include "lockstep/data/import.h"
#include "lockstep/data/tokenizer.h"

namespace lockstep::data {
namespace {

using namespace testing;

class ImportText : public ::testing::Test {
 protected:
  ImportText() {
    options_.train = {folder_ / "a.txt"};
    options_.out = folder_ / "out.h5";
    options_.val_fraction = 0;
    options_.overwrite = true;
  }
  // "" and the tokens as h5py reads them, or the sentence of the refusal.
  std::string import() {
    const std::string sentence = refusal([&] { import_dataset(options_, nullptr); });
    if (!sentence.empty()) return sentence;
    const std::string read = fmt::format(
        "/usr/bin/python3 -c \"import h5py\nfor name, split in h5py.File('{}').items():\n"
        "  if name == 'lockstep_hashes': continue\n"
        "  t = split['tokens'][...]\n  assert t.dtype == 'u1'\n  t.tofile('{}/' + name)\"",
        options_.out.string(), folder_.path().string());
    return std::system(read.c_str()) == 0 ? "" : "h5py cannot read it";
  }
  std::string stream(const std::string& split) {
    const auto all = file_bytes(folder_ / split);
    return {reinterpret_cast<const char*>(all.data()), all.size()};
  }
  fs::path text(const std::string& name, const std::string& text) {
    write_text(folder_ / name, text);
    return folder_ / name;
  }
  TemporaryFolder folder_;
  ImportOptions options_;
};

TEST_F(ImportText, keeps_the_bytes_of_the_files_in_their_order) {
  std::string any;
  for (int i = 0; i < 100000; ++i) any += static_cast<char>(i * i % 251 + i % 5);
  options_.train = {text("b.txt", any), text("a.txt", "second\r\n\tfile \xE2\x96\x81")};
  options_.val = {text("c.txt", "valid")};
  options_.test = {text("d.txt", "t"), text("e.txt", "ests")};
  options_.val_fraction = 0.5;  // not used: val has its file
  for (const auto& [deflate, chunk_bytes] : {std::pair{0, 97}, {4, 1000}, {0, 256 << 10}}) {
    options_.deflate = deflate;
    options_.chunk_bytes = chunk_bytes;
    ASSERT_EQ(import(), "");
    EXPECT_EQ(stream("train"), any + "second\r\n\tfile \xE2\x96\x81");
    EXPECT_EQ(stream("val"), "valid");
    EXPECT_EQ(stream("test"), "tests");
    Manifest manifest = read_manifest(options_.out);
    const Field& field = *manifest.find("train")->find("tokens");
    EXPECT_EQ(field.role, "tokens");
    EXPECT_EQ(field.classes, 256);
    EXPECT_EQ(field.dtype, DType::kU8);
    EXPECT_EQ(field.chunk, chunk_bytes);
    cut_sequences(manifest, 4);
    EXPECT_EQ(manifest.find("test")->samples, 1);
  }
}

TEST_F(ImportText, tells_tokens_and_tokenizer) {
  options_.train = {text("a.txt", "some text\n")};
  options_.val = {text("c.txt", "valid")};
  ASSERT_EQ(import(), "");
  const auto told = nlohmann::json::parse(read_manifest(options_.out).text);
  EXPECT_EQ(told.at("tokenizer").at("kind"), "bytes");
  EXPECT_EQ(told.at("tokenizer").at("vocabulary"), 256);
  EXPECT_EQ(told.at("text").at("train").at("tokens"), 10);
  EXPECT_EQ(told.at("text").at("train").at("bytes_per_token"), 1.0);
  EXPECT_EQ(told.at("made").at("train"), std::vector<std::string>{"a.txt"});
  EXPECT_TRUE(contains_all(inspect_text(options_.out),
                           {"tokenizer: bytes, vocabulary 256\n", "bytes a token\n",
                            "val    5       5              1.000"}));
  EXPECT_EQ(refusal([&] { inspect_check(options_.out); }), "");
  const TokenizerModel model = read_tokenizer(options_.out);
  EXPECT_EQ(model.kind, "bytes");
  EXPECT_EQ(model.model, "");
  const auto tokenizer = make_tokenizer(model);
  EXPECT_EQ(tokenizer->vocabulary(), 256);
  EXPECT_EQ(tokenizer->encode("a\xFF"), (std::vector<std::int32_t>{97, 255}));
  EXPECT_EQ(tokenizer->decode({97, 255, 0}), std::string("a\xFF\0", 3));
}

TEST_F(ImportText, takes_the_end_of_each_file_for_the_other_splits) {
  std::string a, b;
  for (int i = 0; i < 100; ++i) a += fmt::format("line {:03}\n", i);  // of 9 bytes
  for (int i = 0; i < 10; ++i) b += fmt::format("b{}\n", i);
  options_.train = {text("a.txt", a), text("b.txt", b)};
  options_.val_fraction = 0.2;
  ASSERT_EQ(import(), "");
  EXPECT_EQ(stream("train"), a.substr(0, 80 * 9) + b.substr(0, 8 * 3));
  EXPECT_EQ(stream("val"), a.substr(80 * 9) + b.substr(8 * 3));
  options_.test_fraction = 0.1;
  ASSERT_EQ(import(), "");
  EXPECT_EQ(stream("train"), a.substr(0, 70 * 9) + b.substr(0, 7 * 3));
  EXPECT_EQ(stream("val"), a.substr(70 * 9, 20 * 9) + b.substr(7 * 3, 2 * 3));
  EXPECT_EQ(stream("test"), a.substr(90 * 9) + b.substr(9 * 3));
  options_.val_fraction = 0.6, options_.test_fraction = 0.4;
  EXPECT_TRUE(contains_all(import(), {"UserError", "leave no text to train on"}));
}

TEST_F(ImportText, reads_gzip_and_guesses_the_format_by_the_name) {
  const std::string words = "plain words";
  const auto* bytes = reinterpret_cast<const std::byte*>(words.data());
  write_gzip(folder_ / "a.txt.gz", {bytes, bytes + words.size()});
  options_.train = {folder_ / "a.txt.gz"};
  ASSERT_EQ(import(), "");
  EXPECT_EQ(stream("train"), words);
  options_.train = {text("novel.md", words)};
  EXPECT_TRUE(contains_all(import(), {"UserError", "novel.md", "--format"}));
  options_.format = "text";
  ASSERT_EQ(import(), "");
}

TEST_F(ImportText, refuses_what_it_cannot_use_and_leaves_no_file) {
  EXPECT_TRUE(contains_all(import(), {"UserError", "a.txt", "No such file"}));
  options_.train = {text("a.txt", "")};
  EXPECT_TRUE(contains_all(import(), {"DataError", "a.txt is empty"}));
  options_.train = {text("a.txt", "text")};
  options_.tokenizer = "word";
  EXPECT_TRUE(contains_all(import(), {"UserError", "\"word\"", "bytes", "bpe", "model"}));
  options_.val_fraction = 0.99;
  options_.tokenizer = "bytes";
  options_.train = {text("a.txt", "\xC3\xA9")};
  EXPECT_FALSE(fs::exists(options_.out));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1);  // a.txt
  options_.format = "csv";
  options_.val = {folder_ / "a.txt"};
  EXPECT_TRUE(contains_all(import(), {"UserError", "--val is for text"}));
}

TEST_F(ImportText, names_a_dataset_without_a_tokenizer) {
  for (const char* name : {"labels.h5", "stream_gzip.h5"})
    EXPECT_TRUE(contains_all(refusal([&] { read_tokenizer(h5py_files() / name); }),
                             {"UserError", name, "no tokenizer"}));
  EXPECT_TRUE(contains_all(refusal([&] {
                             make_tokenizer({"words", ""});
                           }),
                           {"DataError", "\"words\""}));
}

TEST_F(ImportText, finds_damaged_tokens) {
  options_.train = {text("a.txt", std::string(1000, 'a'))};
  ASSERT_EQ(import(), "");
  // As if the vocabulary were smaller than it is: 97 is 'a'.
  const std::string shrink = fmt::format(
      "/usr/bin/python3 -c \"import h5py; f = h5py.File('{}', 'a'); "
      "f.attrs['lockstep_manifest'] = f.attrs['lockstep_manifest'].replace('256', '97')\"",
      options_.out.string());
  ASSERT_EQ(std::system(shrink.c_str()), 0);
  EXPECT_TRUE(contains_all(refusal([&] { inspect_check(options_.out); }),
                           {"DataError", "out.h5", "/train/tokens", "row 0 is 97", "0 to 96"}));
}

}  // namespace
}  // namespace lockstep::data
