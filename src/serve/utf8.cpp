#include "serve/utf8.h"

#include <algorithm>

namespace lockstep::serve {
namespace {

// Bytes of the character that begins with this one; 0: none does.
std::size_t length_by(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return 2;
  if (first >= 0xE0 && first <= 0xEF) return 3;
  return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

// Whether `second` may follow `first`: no overlong forms, no surrogates, nothing above U+10FFFF.
bool may_follow(unsigned char first, unsigned char second) {
  const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  return second >= low && second <= high;
}

struct Character {
  std::size_t bytes = 0;  // present of it, or 1 for a byte that belongs to none
  bool whole = false, unfinished = false;
};

Character character_at(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t length = length_by(byte(0));
  if (length == 0) return {1};
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {i, false, true};
    const bool fits = i == 1 ? may_follow(byte(0), byte(1)) : (byte(i) & 0xC0U) == 0x80;
    if (!fits) return {1};
  }
  return {length, true};
}

}  // namespace

std::size_t utf8_unfinished(std::string_view text) {
  for (std::size_t back = std::min<std::size_t>(3, text.size()); back > 0; --back) {
    const Character c = character_at(text.substr(text.size() - back));
    if (c.unfinished && c.bytes == back) return back;
  }
  return 0;
}

std::string utf8_cleaned(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character c = character_at(text);
    if (c.whole) {
      out += text.substr(0, c.bytes);
    } else {
      out += "\xEF\xBF\xBD";
    }
    text.remove_prefix(c.bytes);
  }
  return out;
}

}  // namespace lockstep::serve
