#include "csv_reader.h"

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kBufferBytes = 256 << 10;
bool is_line_end(int c) { return c == '\n' || c == '\r'; }

}  // namespace

void CsvReader::start(const RecordPlace& place) {
  offset_ = place.offset;
  at_ = filled_ = 0;
  line_ = record_line_ = place.line;
}

bool CsvReader::fill() {
  buffer_.resize(kBufferBytes);
  at_ = 0;
  filled_ = bytes_->read_at(offset_, buffer_.data(), buffer_.size());
  offset_ += filled_;
  return filled_ > 0;
}

int CsvReader::peek() {
  if (at_ == filled_ && !fill()) return kEnd;
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

void CsvReader::plain_cell(std::string* cell) {
  while (peek() != kEnd) {
    std::size_t end = at_;
    while (end < filled_ && buffer_[end] != separator_ && !is_line_end(buffer_[end])) ++end;
    if (cell != nullptr) cell->append(buffer_.data() + at_, end - at_);
    at_ = end;
    if (end < filled_) return;
  }
}

// After the opening quote, up to and with the closing one.
void CsvReader::quoted_cell(std::string* cell) {
  const std::int64_t begin = line_;
  while (true) {
    const int c = take();
    if (c == kEnd)
      throw DataError("{}: the quote that opens on line {} is never closed", path(), begin);
    if (c == '\n') ++line_;
    if (c == '"') {
      if (peek() != '"') break;
      take();
    }
    if (cell != nullptr) *cell += static_cast<char>(c);
  }
  const int after = peek();
  if (after != static_cast<unsigned char>(separator_) && after != kEnd && !is_line_end(after))
    throw DataError(
        "{}: line {} has text behind a closing quote; double the quotes inside of a cell", path(),
        line_);
}

bool CsvReader::record(std::vector<std::string>* cells) {
  while (is_line_end(peek())) skip_line_end();
  if (peek() == kEnd) return false;
  record_line_ = line_;
  std::size_t count = 0;  // cells' strings are used again, with their memory
  while (true) {
    std::string* cell = nullptr;
    if (cells != nullptr) {
      if (count == cells->size()) cells->emplace_back();
      cell = &(*cells)[count++];
      cell->clear();
    }
    if (peek() == '"') {
      take();
      quoted_cell(cell);
    } else {
      plain_cell(cell);
    }
    if (peek() != static_cast<unsigned char>(separator_)) break;
    take();
  }
  if (cells != nullptr) cells->resize(count);
  if (peek() != kEnd) skip_line_end();
  return true;
}

const std::vector<std::string>& CsvRecords::at(std::int64_t record) {
  const RecordPlace& place = index_->before(record);
  if (next_ < 0 || next_ > record || next_ < place.record) {
    reader_.start(place);
    next_ = place.record;
  }
  const auto changed = [&] {
    next_ = -1;
    throw DataError("{} changed while it was imported (near line {})", path(), line());
  };
  for (; next_ < record; ++next_)
    if (!reader_.skip()) changed();
  if (!reader_.next(cells_)) changed();
  ++next_;
  return cells_;
}

}  // namespace lockstep::data
