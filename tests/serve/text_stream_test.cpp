#include "serve/text_stream.h"

#include <gtest/gtest.h>

#include "serve/utf8.h"

namespace lockstep::serve {
namespace {

// Tokens are bytes, as those of TokenizerModel "bytes".
class Bytes : public data::Tokenizer {
 public:
  std::int64_t vocabulary() const override { return 256; }
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> tokens;
    for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
    return tokens;
  }
  std::string decode(const std::vector<std::int32_t>& tokens) const override {
    std::string text;
    for (const std::int32_t token : tokens) text += static_cast<char>(token);
    return text;
  }
};

// As SentencePiece: words lose their space at the start of a text, and bytes of a character that is
// not whole are U+FFFD each.
class Words : public Bytes {
 public:
  std::string decode(const std::vector<std::int32_t>& tokens) const override {
    std::string text;
    for (const std::int32_t token : tokens) {
      if (token < 256) {
        text += static_cast<char>(token);
      } else {
        text += text.empty() ? "word" : " word";
      }
    }
    return utf8_cleaned(text);
  }
};

// Every part is whole UTF-8, and all parts are the text.
std::string streamed(const data::Tokenizer& tokenizer, const std::string& text,
                     std::size_t most_held = 4) {
  TextStream stream(tokenizer, {});
  std::string all;
  std::size_t pushed = 0;
  for (const std::int32_t token : tokenizer.encode(text)) {
    const std::string part = stream.push(token);
    EXPECT_EQ(utf8_cleaned(part), part);
    all += part;
    ++pushed;
    EXPECT_LT(pushed, all.size() + most_held) << "text is held back";
  }
  return all + stream.finish();
}

const std::string kMany = "aé߿€\u0800\ud7ff😀\U00010000\U0010FFFF\n\x01z";

TEST(TextStream, hands_out_whole_characters) {
  EXPECT_EQ(streamed(Bytes(), kMany), kMany);
  EXPECT_EQ(streamed(Words(), kMany), kMany);
}

TEST(TextStream, replaces_what_is_no_character) {
  const std::string fffd = "\xEF\xBF\xBD";
  const struct {
    std::string bytes, text;
  } cases[] = {{"a\xC3", "a" + fffd},
               {"a\xC3z", "a" + fffd + "z"},
               {"\x80z", fffd + "z"},
               {"\xFF\xFE", fffd + fffd},
               {"\xC0\xAF", fffd + fffd},                  // overlong
               {"\xED\xA0\x80", fffd + fffd + fffd},       // a surrogate
               {"\xF4\x90\x80\x80", fffd + fffd + fffd + fffd},  // above U+10FFFF
               {"\xE2\x82", fffd},
               {fffd + "z", fffd + "z"}};
  for (const auto& c : cases) {
    EXPECT_EQ(streamed(Bytes(), c.bytes, 13), c.text);
    EXPECT_EQ(streamed(Bytes(), "x" + c.bytes + "y", 13).front(), 'x');
    EXPECT_EQ(streamed(Bytes(), "x" + c.bytes + "y", 13).back(), 'y');
  }
}

TEST(TextStream, continues_the_prompt) {
  const Words tokenizer;
  TextStream stream(tokenizer, {300});
  EXPECT_EQ(stream.push(301), " word") << "the space depends on the prompt";
  const Bytes bytes;
  TextStream broken(bytes, {0xE2, 0x82});
  EXPECT_EQ(broken.push('a') + broken.finish(), "a");
}

TEST(Utf8, knows_how_much_is_unfinished) {
  EXPECT_EQ(utf8_unfinished(""), 0U);
  EXPECT_EQ(utf8_unfinished("abc"), 0U);
  EXPECT_EQ(utf8_unfinished("€"), 0U);
  EXPECT_EQ(utf8_unfinished("\xE2\x82"), 2U);
  EXPECT_EQ(utf8_unfinished("x\xE2"), 1U);
  EXPECT_EQ(utf8_unfinished("x\xF0\x9F\x98"), 3U);
  EXPECT_EQ(utf8_unfinished("\xF0\x9F\x98\x80"), 0U);
  EXPECT_EQ(utf8_unfinished("\x80\x80"), 0U) << "these will never be a character";
  EXPECT_EQ(utf8_unfinished("\xE0\x80"), 0U) << "overlong";
}

}  // namespace
}  // namespace lockstep::serve
