// Records of a CSV file (RFC 4180): quoted cells with doubled quotes and line ends inside, LF, CRLF
// or CR, a missing last line end, a byte order mark. Knows no columns and no numbers.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "byte_source.h"

namespace lockstep::data {

class CsvReader {
 public:
  explicit CsvReader(const std::filesystem::path& path);
  // The next record that is not an empty line. False at the end. Throws DataError naming the line.
  bool next(std::vector<std::string>& cells);
  std::int64_t line() const { return record_line_; }  // where the record begins, from 1
  std::string path() const { return bytes_.path(); }

 private:
  static constexpr int kEnd = -1;
  int peek();
  int take();
  void quoted_cell(std::string& cell);
  void skip_line_end();

  ByteSource bytes_;
  std::vector<char> buffer_;
  std::size_t at_ = 0, filled_ = 0;
  std::int64_t line_ = 1, record_line_ = 1;
};

}  // namespace lockstep::data
