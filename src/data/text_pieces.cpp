#include "text_pieces.h"

#include <cstdint>
#include <cstring>

namespace lockstep::data {
namespace {

constexpr std::uint64_t kHighBits = 0x8080808080808080;

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

std::size_t piece_length(std::string_view text) {
  std::size_t end = text.substr(0, kMostPieceBytes).find('\n');
  if (end != std::string_view::npos) {
    while (end < text.size() && end < kMostPieceBytes && text[end] == '\n') ++end;
    return end;
  }
  if (text.size() <= kMostPieceBytes) return text.size();
  end = kMostPieceBytes;
  while (end > kMostPieceBytes - 4 && continues(text[end])) --end;
  return continues(text[end]) ? kMostPieceBytes : end;
}

std::size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xC2   ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length == 0 || text.size() < length) return 0;
  // Overlong forms, surrogates and numbers above U+10FFFF show in the second byte.
  const unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (at(1) < low || at(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i)
    if (!continues(text[i])) return 0;
  return length;
}

std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (text.size() - at >= sizeof kHighBits) {
      std::uint64_t eight;
      std::memcpy(&eight, text.data() + at, sizeof eight);
      if ((eight & kHighBits) == 0) {
        at += sizeof eight;
        continue;
      }
    }
    const std::size_t length = utf8_length(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return at;
}

}  // namespace lockstep::data
