// Cells of text as numbers and classes, and what a survey has seen of the cells of a column. Knows
// no file format: CSV and JSON lines share it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/core/dtype.h"
#include "lockstep/data/import.h"

namespace lockstep::data {

// The number in a cell, blanks around it and a leading + allowed; false if there is none, if it is
// not finite or does not fit a float.
bool parse_number(std::string_view cell, float& value);
bool parse_integer(std::string_view cell, std::int64_t& value);
std::string_view trim(std::string_view text);

// Which cells say that there is nothing: none with --missing error.
class MissingCells {
 public:
  explicit MissingCells(const ImportOptions& options);
  bool operator()(std::string_view cell) const;

 private:
  std::set<std::string, std::less<>> cells_;
};

// What is seen of a column: how many of its cells are numbers, and where the first other one is.
class ColumnSeen {
 public:
  static constexpr std::size_t kMostClasses = 65536;

  // `keeps_names`: of a target of classes. where(): "a.csv: line 3, column \"x\"".
  template <class Where>
  void see(std::string_view cell, const MissingCells& is_missing, bool keeps_names,
           const Where& where) {
    if (is_missing(cell)) {
      if (missing_++ == 0) first_missing_ = where() + " is missing";
      return;
    }
    const bool number = count(cell, keeps_names);
    if (!number && (first_other_.empty() || (trim(cell).empty() && first_empty_.empty())))
      keep_place(where(), cell);
  }
  // What was seen of later cells.
  void merge(const ColumnSeen& later);
  void put(std::vector<std::byte>& message) const;
  static ColumnSeen take(std::span<const std::byte>& message);

  std::int64_t numbers() const { return numbers_; }
  std::int64_t missing() const { return missing_; }
  const std::string& first_other() const { return first_other_; }  // a sentence

 private:
  friend struct Labels;
  bool count(std::string_view cell, bool keeps_names);
  void keep_place(const std::string& where, std::string_view cell);
  std::int64_t numbers_ = 0, integers_ = 0, missing_ = 0;
  std::int64_t smallest_ = std::numeric_limits<std::int64_t>::max();
  std::int64_t largest_ = std::numeric_limits<std::int64_t>::min();
  std::string first_other_, first_empty_, first_missing_;
  std::set<std::string> names_;
};

// How a target's cells become classes or numbers.
struct Labels {
  bool classes = true;
  std::int64_t count = 0;
  std::map<std::string, std::int32_t, std::less<>> class_of;  // empty: cells are class numbers
  std::vector<std::string> class_names;

  // `total` cells were seen. Throws DataError or UserError naming the column and the first bad
  // cell.
  static Labels settle(const ColumnSeen& seen, std::int64_t total, const std::string& name,
                       const std::string& file, const ImportOptions& options);
  DType dtype() const;
  // The label in a cell, as dtype() has it; false if it was not there when the file was surveyed.
  bool write(std::string_view cell, std::byte* out) const;
};

}  // namespace lockstep::data
