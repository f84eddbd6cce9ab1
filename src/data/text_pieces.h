// How text is cut for a tokenizer: into lines with the line ends after them. The tokens of a text
// are those of its pieces, one after another, so that a file is encoded as it streams by.
#pragma once
#include <cstddef>
#include <string_view>

namespace lockstep::data {

// A longer line is cut. SentencePiece counts the places in a word in 15 bits.
inline constexpr std::size_t kMostPieceBytes = 16 << 10;

// Bytes of the first piece of a text of which at least kMostPieceBytes + 1 bytes, or all that is
// left, are given. 0 for an empty text.
std::size_t piece_length(std::string_view text);

// Bytes of the character that the text begins with; 0 if it is no UTF-8 (Unicode 15, table 3-7).
std::size_t utf8_length(std::string_view text);

// Offset of the first byte that begins no character; text.size() if there is none.
std::size_t first_invalid_utf8(std::string_view text);

}  // namespace lockstep::data
