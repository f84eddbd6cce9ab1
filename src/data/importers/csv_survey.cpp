#include "csv_survey.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "csv_reader.h"
#include "lockstep/core/error.h"
#include "lockstep/core/log.h"

namespace lockstep::data {
namespace {

constexpr std::size_t kMostClasses = 65536;

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string_view number_text(std::string_view cell) {
  cell = trim(cell);
  if (cell.size() > 1 && cell[0] == '+' && cell[1] != '-') cell.remove_prefix(1);
  return cell;
}

// What is seen of a column: how many of its cells are numbers, and where the first other one is.
struct ColumnSeen {
  std::int64_t numbers = 0, integers = 0;
  std::int64_t smallest = std::numeric_limits<std::int64_t>::max();
  std::int64_t largest = std::numeric_limits<std::int64_t>::min();
  std::string first_other;  // a sentence
  std::string first_empty;
};

class Survey {
 public:
  explicit Survey(const ImportOptions& options) : options_(options) {}

  void read(const std::filesystem::path& file) {
    CsvReader reader(file);
    std::vector<std::string> cells;
    if (!reader.next(cells))
      throw DataError("{} is empty; a CSV file begins with a header line", file.string());
    take_header(reader, cells);
    std::int64_t rows = 0;
    while (reader.next(cells)) {
      if (cells.size() != plan_.header.size())
        throw DataError("{}: line {} has {} cells, but the header has {}", file.string(),
                        reader.line(), cells.size(), plan_.header.size());
      for (std::size_t c = 0; c < cells.size(); ++c) see(reader, c, cells[c]);
      ++rows;
    }
    if (rows == 0) throw DataError("{} has a header line but no rows", file.string());
    plan_.rows[file.string()] = rows;
    total_ += rows;
  }

  CsvPlan finish() {
    for (std::size_t c = 0; c < plan_.header.size(); ++c) {
      if (c == plan_.target) continue;
      if (seen_[c].numbers == total_)
        plan_.features.push_back(c);
      else if (seen_[c].numbers == 0)
        plan_.left_out.push_back(plan_.header[c]);
      else
        throw DataError("{}; mend or remove the line", seen_[c].first_other);
    }
    if (plan_.features.empty())
      throw DataError("{} has no column of numbers beside the target",
                      options_.train.front().string());
    if (!plan_.left_out.empty())
      log::warn("columns of text are left out: {}", fmt::join(plan_.left_out, ", "));
    settle_target();
    return std::move(plan_);
  }

 private:
  void take_header(const CsvReader& reader, const std::vector<std::string>& cells) {
    std::vector<std::string> names;
    for (const std::string& cell : cells) names.emplace_back(trim(cell));
    if (!plan_.header.empty()) {
      if (names != plan_.header)
        throw DataError("{} has other columns than {}", reader.path(),
                        options_.train.front().string());
      return;
    }
    if (names.size() < 2)
      throw DataError(
          "{}: the header has one column; a feature and a target are needed, with commas "
          "between them",
          reader.path());
    for (std::size_t c = 0; c < names.size(); ++c)
      if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(c), names[c]) !=
          names.begin() + static_cast<std::ptrdiff_t>(c))
        throw DataError("{}: the header has two columns \"{}\"", reader.path(), names[c]);
    plan_.target = names.size() - 1;
    if (!options_.target.empty()) {
      const auto found = std::find(names.begin(), names.end(), options_.target);
      if (found == names.end())
        throw UserError("{} has no column \"{}\"; it has: {}", reader.path(), options_.target,
                        fmt::join(names, ", "));
      plan_.target = static_cast<std::size_t>(found - names.begin());
    }
    plan_.header = std::move(names);
    plan_.target_is_class = options_.target_is_class;
    seen_.resize(plan_.header.size());
  }

  void see(const CsvReader& reader, std::size_t c, const std::string& cell) {
    ColumnSeen& seen = seen_[c];
    float number;
    std::int64_t integer;
    if (parse_integer(cell, integer)) {
      ++seen.integers;
      seen.smallest = std::min(seen.smallest, integer);
      seen.largest = std::max(seen.largest, integer);
    }
    const bool empty = trim(cell).empty();
    if (parse_number(cell, number)) {
      ++seen.numbers;
    } else if (seen.first_other.empty() || (empty && seen.first_empty.empty())) {
      const std::string where =
          fmt::format("{}: line {}, column \"{}\"", reader.path(), reader.line(), plan_.header[c]);
      const std::string what =
          empty ? where + " is empty"
                : fmt::format("{} is \"{}\", which is no finite number", where, cell);
      if (seen.first_other.empty()) seen.first_other = what;
      if (empty && seen.first_empty.empty()) seen.first_empty = what;
    }
    if (c == plan_.target && plan_.target_is_class && names_.size() <= kMostClasses)
      names_.emplace(trim(cell));
  }

  void settle_target() {
    const ColumnSeen& seen = seen_[plan_.target];
    const std::string& name = plan_.header[plan_.target];
    if (!plan_.target_is_class) {
      if (seen.numbers != total_) throw DataError("{}; mend or remove the line", seen.first_other);
      return;
    }
    if (!seen.first_empty.empty()) throw DataError("{}; mend or remove the line", seen.first_empty);
    const bool integers = seen.integers == total_;
    if (seen.numbers == total_ && !integers)
      throw UserError(
          "target column \"{}\" of {} has numbers with fractions; import it as a number, "
          "not as classes",
          name, options_.train.front().string());
    const bool plain = integers && seen.smallest >= 0;
    if (names_.size() > kMostClasses ||
        (plain && seen.largest >= static_cast<std::int64_t>(kMostClasses)))
      throw UserError("target column \"{}\" of {} has more than {} classes; import it as a number",
                      name, options_.train.front().string(), kMostClasses);
    if (plain) {
      plan_.classes = seen.largest + 1;
      return;
    }
    plan_.class_names.assign(names_.begin(), names_.end());
    if (integers)  // -1 comes before 1, and 2 before 10
      std::sort(plan_.class_names.begin(), plan_.class_names.end(),
                [](const auto& a, const auto& b) {
                  std::int64_t x = 0, y = 0;
                  parse_integer(a, x), parse_integer(b, y);
                  return x != y ? x < y : a < b;
                });
    for (const std::string& class_name : plan_.class_names)
      plan_.class_of.emplace(class_name, static_cast<std::int32_t>(plan_.class_of.size()));
    plan_.classes = static_cast<std::int64_t>(plan_.class_names.size());
  }

  const ImportOptions& options_;
  CsvPlan plan_;
  std::vector<ColumnSeen> seen_;
  std::set<std::string> names_;  // of the target's classes, sorted
  std::int64_t total_ = 0;
};

}  // namespace

bool parse_number(std::string_view cell, float& value) {
  cell = number_text(cell);
  const char* end = cell.data() + cell.size();
  std::from_chars_result parsed = std::from_chars(cell.data(), end, value);
  if (parsed.ec ==
      std::errc::result_out_of_range) {  // too large, or so small that it is nearly zero
    double wide;
    parsed = std::from_chars(cell.data(), end, wide);
    if (parsed.ec != std::errc{} || !(std::fabs(wide) < 1)) return false;
    value = static_cast<float>(wide);
  }
  return parsed.ec == std::errc{} && parsed.ptr == end && std::isfinite(value);
}

bool parse_integer(std::string_view cell, std::int64_t& value) {
  cell = number_text(cell);
  const char* end = cell.data() + cell.size();
  const auto [stop, code] = std::from_chars(cell.data(), end, value);
  return code == std::errc{} && stop == end;
}

CsvPlan survey_csv(const std::vector<std::filesystem::path>& files, const ImportOptions& options) {
  Survey survey(options);
  for (const auto& file : files) survey.read(file);
  return survey.finish();
}

}  // namespace lockstep::data
