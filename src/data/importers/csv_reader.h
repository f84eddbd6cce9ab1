// Records of a CSV file (RFC 4180): quoted cells with doubled quotes and line ends inside, LF, CRLF
// or CR, a missing last line end. Knows no columns and no numbers.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "record_index.h"

namespace lockstep::data {

class CsvReader {
 public:
  CsvReader(std::shared_ptr<PositionedBytes> bytes, char separator)
      : bytes_(std::move(bytes)), separator_(separator) {}
  // Goes on at the first record at or after a place.
  void start(const RecordPlace& place);
  // The next record that is not an empty line. False at the end. Throws DataError naming the line.
  bool next(std::vector<std::string>& cells) { return record(&cells); }
  bool skip() { return record(nullptr); }
  std::int64_t line() const { return record_line_; }  // where the record begins, from 1
  const std::string& path() const { return bytes_->name(); }

 private:
  static constexpr int kEnd = -1;
  bool record(std::vector<std::string>* cells);
  bool fill();
  int peek();
  int take();
  void plain_cell(std::string* cell);
  void quoted_cell(std::string* cell);
  void skip_line_end();

  std::shared_ptr<PositionedBytes> bytes_;
  char separator_;
  std::vector<char> buffer_;
  std::uint64_t offset_ = 0;  // of what comes behind the buffer
  std::size_t at_ = 0, filled_ = 0;
  std::int64_t line_ = 1, record_line_ = 1;
};

// Any record by its number; reading on is cheap.
class CsvRecords {
 public:
  CsvRecords(std::shared_ptr<PositionedBytes> bytes, std::shared_ptr<const RecordIndex> index,
             char separator)
      : reader_(std::move(bytes), separator), index_(std::move(index)) {}
  const std::vector<std::string>& at(std::int64_t record);
  std::int64_t line() const { return reader_.line(); }
  const std::string& path() const { return reader_.path(); }

 private:
  CsvReader reader_;
  std::shared_ptr<const RecordIndex> index_;
  std::int64_t next_ = -1;  // the record that the reader stands at; -1: it stands nowhere
  std::vector<std::string> cells_;
};

}  // namespace lockstep::data
