// Text files as a stream of pieces (text_pieces.h), and where to cut a file in parts. Memory does
// not grow with the files. Knows no tokens.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "byte_source.h"

namespace lockstep::data {

// Bytes [begin, end) of a file, as it is when unpacked.
struct TextPart {
  std::filesystem::path file;
  std::int64_t begin = 0, end = 0;
};

// The bytes of a text file. Throws DataError if it is empty and, where it must be UTF-8, naming the
// offset of the first byte that is not; UserError if it is no file.
std::int64_t survey_text(const std::filesystem::path& file, bool must_be_utf8);

// The line start at or after `wanted`; the last one before it if no line starts there; in a file of
// one line the character at or after `wanted`. For wanted <= 0 or >= bytes: 0 or bytes.
std::int64_t find_cut(const std::filesystem::path& file, std::int64_t wanted, std::int64_t bytes);

class TextReader {
 public:
  explicit TextReader(std::vector<TextPart> parts) : parts_(std::move(parts)) {}
  // The next piece; valid until the next call. A piece ends where its part ends. False at the end.
  bool next(std::string_view& piece);

 private:
  void open();
  void fill();
  std::vector<TextPart> parts_;
  std::size_t part_ = 0;
  std::unique_ptr<ByteSource> bytes_;
  std::int64_t left_ = 0;  // bytes of the part that are not in the buffer yet
  std::vector<char> buffer_;
  std::size_t at_ = 0, filled_ = 0;
};

}  // namespace lockstep::data
