// Byte-pair encoding: any text comes back as it was, and the same text gives the same model.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "data/row_source.h"
#include "data/text_pieces.h"
#include "files.h"
#include "lockstep/core/hash.h"
#include "lockstep/data/import.h"
#include "lockstep/data/tokenizer.h"

namespace lockstep::data {
namespace {

using namespace testing;

// Words of a small language, with the spaces and line ends that prose and programs have.
std::string made_text(int words) {
  static const char* kParts[] = {"lo", "ck", "step", "tra", "in", "er", "ing", "the", "a", "model"};
  std::string text;
  std::mt19937 random(3);
  for (int i = 0; i < words; ++i) {
    for (unsigned n = 1 + random() % 3; n > 0; --n) text += kParts[random() % 10];
    const unsigned end = random() % 20;
    text += end == 0 ? ".\n\n" : end == 1 ? ",\n    " : end == 2 ? ".  " : " ";
  }
  return text +
         "Gr\xC3\xBC\xC3\x9F"
         "e\n";
}

class BytePairs : public ::testing::Test {
 protected:
  BytePairs() {
    write_text(folder_ / "a.txt", made_text(5000));
    options_.train = {folder_ / "a.txt"};
    options_.out = folder_ / "out.h5";
    options_.tokenizer = "bpe";
    options_.vocabulary = 400;
    options_.overwrite = true;
  }
  const TokenizerModel& model() {
    static const TokenizerModel learnt = train_bpe({folder_ / "a.txt"}, 400);
    return learnt;
  }
  std::string import() {
    return refusal([&] { import_dataset(options_, nullptr); });
  }
  TemporaryFolder folder_;
  ImportOptions options_;
};

TEST_F(BytePairs, give_back_any_bytes) {
  const auto tokenizer = make_tokenizer(model());
  EXPECT_EQ(tokenizer->vocabulary(), 400);
  const auto round_trip = [&](const std::string& text) {
    const auto tokens = tokenizer->encode(text);
    for (const std::int32_t token : tokens) EXPECT_TRUE(token >= 0 && token < 400);
    return tokenizer->decode(tokens) == text;
  };
  for (const std::string text : {"",
                                 " ",
                                 "  ",
                                 "\n",
                                 "\r\n\r\n",
                                 "\t",
                                 " lead",
                                 "trail ",
                                 "a  b   c",
                                 "\xE2\x96\x81",
                                 "a\xE2\x96\x81 \xE2\x96\x81\xE2\x96\x81z",
                                 "<unk><s></s><0x41>",
                                 "\xEF\xBB\xBF"
                                 "bom",
                                 "e\xCC\x81",
                                 "\xEF\xAC\x81 \xEF\xBC\xA1 \xE2\x85\xB7",
                                 "\xF0\x9F\x8E\xB2 dice",
                                 "\xE2\x96\x85",
                                 "\xEF\xBF\xBD",
                                 "\xC2\xA0\xE3\x80\x80\xE2\x80\x8B",
                                 "\xFF\xFE",
                                 "ok\x80ok",
                                 "\xED\xA0\x80"})
    EXPECT_TRUE(round_trip(text)) << text;
  EXPECT_TRUE(round_trip(std::string("\0a\0\0 b", 6)));
  EXPECT_TRUE(round_trip(made_text(2000)));
  EXPECT_TRUE(round_trip(std::string(100000, 'a') + std::string(70000, ' ')));
  for (std::uint32_t c = 1; c < 0x3000; c += 1) {  // each character alone and between others
    std::string text;
    if (c >= 0x800) text += static_cast<char>(0xE0 | c >> 12);
    if (c >= 0x80) text += static_cast<char>(c < 0x800 ? 0xC0 | c >> 6 : 0x80 | (c >> 6 & 63));
    text += static_cast<char>(c < 0x80 ? c : 0x80 | (c & 63));
    ASSERT_TRUE(round_trip(text)) << c;
    ASSERT_TRUE(round_trip("the " + text + text + "\n model")) << c;
  }
  std::mt19937 random(5);
  for (int i = 0; i < 300; ++i) {
    std::string text(random() % 200, ' ');
    for (char& byte : text) byte = static_cast<char>(random() % (i % 2 == 0 ? 256 : 128));
    ASSERT_TRUE(round_trip(text)) << i;
  }
}

TEST_F(BytePairs, encode_a_text_as_its_pieces) {
  const auto tokenizer = make_tokenizer(model());
  const std::string text = made_text(3000) + std::string(50000, 'x');
  std::vector<std::int32_t> joined;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t piece = piece_length(rest);
    for (const std::int32_t token : tokenizer->encode(rest.substr(0, piece)))
      joined.push_back(token);
    rest.remove_prefix(piece);
  }
  EXPECT_EQ(joined, tokenizer->encode(text));
  EXPECT_LT(2 * tokenizer->encode(made_text(3000)).size(), text.size() - 50000);
}

TEST_F(BytePairs, are_the_same_for_the_same_text) {
  EXPECT_EQ(train_bpe({folder_ / "a.txt"}, 400).model, model().model);
  write_text(folder_ / "b.txt", made_text(5000) + "more more more more more\n");
  EXPECT_NE(train_bpe({folder_ / "b.txt"}, 400).model, model().model);
}

TEST_F(BytePairs, are_kept_in_the_dataset_and_give_back_each_split) {
  ASSERT_EQ(import(), "");
  const Manifest manifest = read_manifest(options_.out);
  const TokenizerModel kept = read_tokenizer(options_.out);
  EXPECT_EQ(kept.kind, "sentencepiece");
  const auto tokenizer = make_tokenizer(kept);
  const std::string whole = made_text(5000);
  std::string joined;
  for (const char* split : {"train", "val"}) {
    const Field& field = *manifest.find(split)->find("tokens");
    EXPECT_EQ(field.dtype, DType::kU16);
    EXPECT_EQ(field.classes, 400);
    std::vector<std::uint16_t> tokens(static_cast<std::size_t>(field.count));
    KeptUnit kept_unit;
    open_rows(manifest, *manifest.find(split), field)
        ->read(0, field.count, reinterpret_cast<std::byte*>(tokens.data()), kept_unit);
    joined += tokenizer->decode({tokens.begin(), tokens.end()});
  }
  EXPECT_EQ(joined, whole);
  EXPECT_TRUE(contains_all(inspect_text(options_.out),
                           {"tokenizer: sentencepiece, vocabulary 400, a model of"}));
  EXPECT_EQ(refusal([&] { inspect_check(options_.out); }), "");
}

TEST_F(BytePairs, learn_from_the_train_split_alone) {
  options_.val_fraction = 0;
  ASSERT_EQ(import(), "");
  const std::string alone = read_tokenizer(options_.out).model;
  write_text(folder_ / "val.txt", "zzzz zzzz zzzz zzzz zzzz zzzz zzzz\n");
  options_.val = {folder_ / "val.txt"};
  ASSERT_EQ(import(), "");
  EXPECT_EQ(read_tokenizer(options_.out).model, alone);
}

TEST_F(BytePairs, come_from_a_model_file) {
  write_text(folder_ / "given.model", model().model);
  options_.tokenizer = (folder_ / "given.model").string();
  ASSERT_EQ(import(), "");
  EXPECT_EQ(read_tokenizer(options_.out).model, model().model);
  write_text(folder_ / "given.model", "no model at all");
  EXPECT_TRUE(contains_all(import(), {"DataError", "given.model", "no SentencePiece model"}));
}

TEST_F(BytePairs, are_refused_for_unsuitable_vocabularies_and_texts) {
  for (const std::int64_t vocabulary : {1, 256, 257}) {
    options_.vocabulary = vocabulary;
    EXPECT_TRUE(contains_all(import(), {"UserError", "too small", "--vocabulary"}));
  }
  options_.vocabulary = 260;
  EXPECT_TRUE(contains_all(import(), {"UserError", "260", "characters", "--vocabulary"}));
  options_.vocabulary = 100000;
  EXPECT_TRUE(contains_all(import(), {"UserError", "text is too small", "100000", "or less"}));
  write_text(folder_ / "a.txt", "good\nbad \xC3( \n");
  options_.vocabulary = 300;
  EXPECT_TRUE(contains_all(import(), {"DataError", "a.txt", "no UTF-8 at byte 9"}));
  write_text(folder_ / "a.txt", "\n");
  EXPECT_TRUE(contains_all(import(), {"UserError"}));
  EXPECT_FALSE(fs::exists(options_.out));
}

TEST_F(BytePairs, of_a_damaged_dataset_are_refused) {
  ASSERT_EQ(import(), "");
  const auto bytes = file_bytes(options_.out);
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t at = all.find(read_tokenizer(options_.out).model);
  ASSERT_NE(at, std::string_view::npos);
  flip_byte(options_.out, at + 1000);
  EXPECT_TRUE(contains_all(refusal([&] { read_tokenizer(options_.out); }),
                           {"DataError", "out.h5", "tokenizer", "damaged"}));
  EXPECT_TRUE(contains_all(refusal([&] { inspect_check(options_.out); }), {"DataError"}));
}

TEST_F(BytePairs, never_crash_on_a_damaged_model) {
  std::mt19937 random(11);
  for (int i = 0; i < 300; ++i) {
    TokenizerModel damaged = model();
    for (unsigned n = 1 + random() % 3; n > 0; --n)
      damaged.model[random() % damaged.model.size()] ^= static_cast<char>(1 + random() % 255);
    const std::string sentence = refusal([&] {
      const auto tokenizer = make_tokenizer(damaged);
      tokenizer->decode(tokenizer->encode("the trainer\n \xC3\xA9"));
    });
    EXPECT_TRUE(sentence.empty() || sentence.starts_with("DataError")) << sentence;
  }
}

}  // namespace
}  // namespace lockstep::data
