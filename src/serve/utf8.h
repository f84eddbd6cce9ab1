// Where characters of UTF-8 text begin and end (RFC 3629).
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep::serve {

// Bytes at the end of the text that begin a character and do not finish it: 0 to 3.
std::size_t utf8_unfinished(std::string_view text);
// The text with U+FFFD in the place of every byte that belongs to no character.
std::string utf8_cleaned(std::string_view text);

}  // namespace lockstep::serve
