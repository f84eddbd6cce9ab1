#include "numpy_header.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::uint32_t kMostHeaderBytes = 1 << 20;

[[noreturn]] void damaged(const std::string& name, const char* why) {
  throw DataError("{} is no .npy file: {}; write it again", name, why);
}

// What stands behind a key of the header, a literal of Python's: "'<f4'", "False", "(3, 4)".
std::string_view value_of(std::string_view header, std::string_view key, const std::string& name) {
  auto at = header.find(key);
  if (at == std::string_view::npos) damaged(name, "its header lacks a key");
  at = header.find_first_not_of(" :", at + key.size());
  if (at == std::string_view::npos) damaged(name, "its header is cut short");
  return header.substr(at);
}

DType type_of(std::string_view code, const std::string& name, bool& big_endian) {
  const std::string_view given = code;
  big_endian = code[0] == '>';
  if (code[0] == '<' || code[0] == '>' || code[0] == '|' || code[0] == '=') code.remove_prefix(1);
  constexpr std::pair<std::string_view, DType> kTypes[] = {
      {"f2", DType::kF16}, {"f4", DType::kF32}, {"f8", DType::kF64}, {"i1", DType::kI8},
      {"i2", DType::kI16}, {"i4", DType::kI32}, {"i8", DType::kI64}, {"u1", DType::kU8},
      {"u2", DType::kU16}, {"u4", DType::kU32}, {"u8", DType::kU64}, {"b1", DType::kU8}};
  for (const auto& [text, type] : kTypes)
    if (code == text) return type;
  throw DataError(
      "{} has elements of type \"{}\"; those of integers, truth values and floats of 16 to 64 bits "
      "are read: convert it with astype()",
      name, given);
}

Shape shape_of(std::string_view text, const std::string& name) {
  if (text.empty() || text[0] != '(') damaged(name, "its shape is no tuple");
  text.remove_prefix(1);
  std::vector<std::int64_t> extents;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(" ,L"), text.size()));
    if (text.empty()) damaged(name, "its shape is cut short");
    if (text[0] == ')') break;
    std::int64_t extent = 0;
    const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), extent);
    if (code != std::errc{} || extent < 0) damaged(name, "its shape has no numbers");
    text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
    extents.push_back(extent);
  }
  if (extents.empty())
    throw DataError("{} holds one number and no rows; save an array of [N, ...]", name);
  if (extents.size() > Shape::kMaxRank)
    throw DataError("{} has {} dimensions; at most {} are read", name, extents.size(),
                    Shape::kMaxRank);
  std::int64_t elements = 1;
  for (const std::int64_t extent : extents) {
    if (extent == 0) throw DataError("{} has a dimension of 0: there are no samples in it", name);
    if (__builtin_mul_overflow(elements, extent, &elements) || elements > std::int64_t{1} << 56)
      damaged(name, "its shape is too large");
  }
  return Shape(extents);
}

}  // namespace

ElementLayout read_numpy_header(PositionedBytes& bytes) {
  const std::string& name = bytes.name();
  unsigned char start[12] = {};
  const std::size_t there = bytes.read_at(0, start, sizeof start);
  if (there < 10 || std::string_view(reinterpret_cast<char*>(start), kMagic.size()) != kMagic)
    damaged(name, there == 0 ? "it is empty" : "it begins with other bytes");
  const int major = start[6];
  if (major < 1 || major > 3) damaged(name, "its format is none of 1.0, 2.0 and 3.0");
  std::uint32_t length = start[8] | std::uint32_t{start[9]} << 8;
  const std::uint64_t begin = major == 1 ? 10 : 12;
  if (major > 1) length |= std::uint32_t{start[10]} << 16 | std::uint32_t{start[11]} << 24;
  if (length > kMostHeaderBytes) damaged(name, "its header is too long");
  std::string text(length, '\0');
  if (bytes.read_at(begin, text.data(), length) != length) damaged(name, "it ends in its header");

  ElementLayout layout;
  layout.begin = begin + length;
  const std::string_view type = value_of(text, "'descr'", name);
  if (type[0] != '\'')
    throw DataError("{} has rows of several types; save an array for each field", name);
  const auto close = type.find('\'', 1);
  if (close == std::string_view::npos || close < 3) damaged(name, "its type is cut short");
  layout.dtype = type_of(type.substr(1, close - 1), name, layout.big_endian);
  const Shape shape = shape_of(value_of(text, "'shape'", name), name);
  layout.rows = shape[0];
  layout.sample = shape.drop_first();
  layout.column_major =
      value_of(text, "'fortran_order'", name).starts_with("True") && shape.rank() > 1;
  return layout;
}

}  // namespace lockstep::data
