#include "csv_reader.h"

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kBufferBytes = 256 << 10;
bool is_line_end(int c) { return c == '\n' || c == '\r'; }

}  // namespace

CsvReader::CsvReader(const std::filesystem::path& path) : bytes_(path), buffer_(kBufferBytes) {
  peek();
  if (filled_ >= 3 && std::string_view(buffer_.data(), 3) == "\xEF\xBB\xBF") at_ = 3;
}

int CsvReader::peek() {
  if (at_ == filled_) {
    at_ = 0;
    filled_ = bytes_.read(buffer_.data(), buffer_.size());
    if (filled_ == 0) return kEnd;
  }
  return static_cast<unsigned char>(buffer_[at_]);
}

int CsvReader::take() {
  const int c = peek();
  if (c != kEnd) ++at_;
  return c;
}

void CsvReader::skip_line_end() {
  if (take() == '\r' && peek() == '\n') take();
  ++line_;
}

// After the opening quote, up to and with the closing one.
void CsvReader::quoted_cell(std::string& cell) {
  const std::int64_t begin = line_;
  while (true) {
    const int c = take();
    if (c == kEnd)
      throw DataError("{}: the quote that opens on line {} is never closed", path(), begin);
    if (c == '\n') ++line_;
    if (c != '"') {
      cell += static_cast<char>(c);
      continue;
    }
    if (peek() != '"') break;
    cell += static_cast<char>(take());
  }
  const int after = peek();
  if (after != ',' && after != kEnd && !is_line_end(after))
    throw DataError(
        "{}: line {} has text behind a closing quote; double the quotes inside of a cell", path(),
        line_);
}

bool CsvReader::next(std::vector<std::string>& cells) {
  while (is_line_end(peek())) skip_line_end();
  if (peek() == kEnd) return false;
  record_line_ = line_;
  std::size_t count = 0;  // cells' strings are used again, with their memory
  while (true) {
    if (count == cells.size()) cells.emplace_back();
    std::string& cell = cells[count++];
    cell.clear();
    if (peek() == '"') {
      take();
      quoted_cell(cell);
    } else {
      for (int c = peek(); c != ',' && c != kEnd && !is_line_end(c); c = peek())
        cell += static_cast<char>(take());
    }
    if (peek() != ',') break;
    take();
  }
  cells.resize(count);
  if (peek() != kEnd) skip_line_end();
  return true;
}

}  // namespace lockstep::data
