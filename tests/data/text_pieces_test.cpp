// How text is cut for tokenizers and parts.
#include "data/text_pieces.h"

#include <gtest/gtest.h>

#include "data/importers/text_reader.h"
#include "files.h"

namespace lockstep::data {
namespace {

using namespace testing;

std::vector<std::string> pieces_of(std::string_view text) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    pieces.emplace_back(text.substr(0, piece_length(text)));
    text.remove_prefix(pieces.back().size());
  }
  return pieces;
}

using Pieces = std::vector<std::string>;

TEST(TextPieces, are_lines_with_the_line_ends_after_them) {
  EXPECT_EQ(pieces_of(""), Pieces{});
  EXPECT_EQ(pieces_of("a"), Pieces{"a"});
  EXPECT_EQ(pieces_of("a\nb\n\n\nc d\n"), (Pieces{"a\n", "b\n\n\n", "c d\n"}));
  EXPECT_EQ(pieces_of("\n\na"), (Pieces{"\n\n", "a"}));
}

TEST(TextPieces, cut_long_lines_between_characters) {
  for (const std::size_t pad : {0, 1, 2, 3}) {
    std::string text(pad, 'x');
    while (text.size() < 3 * kMostPieceBytes) text += "\xF0\x9F\x8E\xB2";  // four bytes
    std::string joined;
    for (const std::string& piece : pieces_of(text)) {
      EXPECT_LE(piece.size(), kMostPieceBytes);
      EXPECT_EQ(first_invalid_utf8(piece), piece.size());
      joined += piece;
    }
    EXPECT_EQ(joined, text);
  }
  const std::string no_text(2 * kMostPieceBytes + 5, '\x80');
  EXPECT_EQ(pieces_of(no_text).size(), 3U);
  EXPECT_EQ(pieces_of(std::string(kMostPieceBytes + 7, '\n')).size(), 2U);
}

// The bytes of every Unicode number, made by hand, and none beside them.
std::string utf8(std::uint32_t c) {
  const auto byte = [](std::uint32_t b) { return static_cast<char>(b); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 63))};
  if (c < 0x10000) return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63))};
  return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 63)), byte(0x80 | (c >> 6 & 63)),
          byte(0x80 | (c & 63))};
}

TEST(Utf8, accepts_every_character_and_refuses_what_is_none) {
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    const std::string text = utf8(c);
    const bool surrogate = c >= 0xD800 && c < 0xE000;
    ASSERT_EQ(utf8_length(text), surrogate ? 0 : text.size()) << c;
    ASSERT_EQ(utf8_length(text.substr(0, text.size() - 1)), 0U) << c;
  }
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x28\xA1"}) {
    EXPECT_EQ(utf8_length(bad), 0U);
    const std::string good = "text of more than eight \xC3\xA9 bytes";
    EXPECT_EQ(first_invalid_utf8(good + bad), good.size());
  }
}

class TextFiles : public ::testing::Test {
 protected:
  fs::path file(const std::string& text) {
    write_text(folder_ / "a.txt", text);
    return folder_ / "a.txt";
  }
  TemporaryFolder folder_;
};

TEST_F(TextFiles, stream_the_same_pieces_as_memory) {
  std::string text;
  for (int i = 0; i < 300000; ++i) text += fmt::format("{} \xC3\xA9{}", i, i % 11 < 2 ? "\n" : " ");
  text += std::string(100000, 'z');
  const fs::path path = file(text);
  const auto size = static_cast<std::int64_t>(text.size());
  for (const auto& [begin, end] :
       {std::pair<std::int64_t, std::int64_t>{0, size}, {1, size - 1}, {1 << 20, size}, {5, 6}}) {
    TextReader reader({{path, begin, end}, {path, 0, 3}});
    Pieces pieces;
    for (std::string_view piece; reader.next(piece);) pieces.emplace_back(piece);
    Pieces expected = pieces_of(std::string_view(text).substr(
        static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
    expected.push_back(text.substr(0, 3));
    EXPECT_EQ(pieces, expected);
  }
}

TEST_F(TextFiles, name_the_first_byte_that_is_no_utf8) {
  const std::size_t block = 1 << 20;
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{5}, block - 3, block - 1, block, 2 * block - 2}) {
    for (const std::string bad : {"\xFF", "\xE2\x82", "\xF0\x9F\x8E"}) {
      std::string text(at, 'a');
      EXPECT_TRUE(contains_all(refusal([&] { survey_text(file(text + bad), true); }),
                               {"DataError", "a.txt", fmt::format("at byte {};", at)}));
      EXPECT_TRUE(contains_all(refusal([&] { survey_text(file(text + bad + "more"), true); }),
                               {"DataError", fmt::format("at byte {};", at)}));
      EXPECT_EQ(survey_text(file(text + bad), false), static_cast<std::int64_t>(at + bad.size()));
    }
    const std::string good = std::string(at, 'a') + "\xF0\x9F\x8E\xB2 end";
    EXPECT_EQ(survey_text(file(good), true), static_cast<std::int64_t>(good.size()));
  }
  EXPECT_TRUE(
      contains_all(refusal([&] { survey_text(file(""), true); }), {"DataError", "a.txt is empty"}));
  EXPECT_TRUE(contains_all(refusal([&] { survey_text(folder_ / "none.txt", true); }),
                           {"UserError", "none.txt", "No such file"}));
  EXPECT_TRUE(
      contains_all(refusal([&] { survey_text(folder_.path(), true); }), {"UserError", "a folder"}));
  EXPECT_TRUE(
      contains_all(refusal([&] { survey_text("/dev/null", true); }), {"UserError", "plain file"}));
}

TEST_F(TextFiles, are_cut_where_a_line_starts) {
  const auto cut = [&](const std::string& text, std::int64_t wanted) {
    return find_cut(file(text), wanted, static_cast<std::int64_t>(text.size()));
  };
  EXPECT_EQ(cut("ab\ncd\nef\n", 3), 3);
  EXPECT_EQ(cut("ab\ncd\nef\n", 4), 6);
  EXPECT_EQ(cut("ab\ncd\nef\n", 7), 6);  // no line starts after it
  EXPECT_EQ(cut("ab\ncd\nef", 7), 6);
  EXPECT_EQ(cut("abcdef", 4), 4);
  EXPECT_EQ(cut("ab\xC3\xA9"
                "cd",
                3),
            4);
  EXPECT_EQ(cut("abcdef", 0), 0);
  EXPECT_EQ(cut("abcdef", 6), 6);
}

}  // namespace
}  // namespace lockstep::data
