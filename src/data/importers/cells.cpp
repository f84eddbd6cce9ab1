#include "cells.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t kMostByteClasses = 256;

std::string_view number_text(std::string_view cell) {
  cell = trim(cell);
  if (cell.size() > 1 && cell[0] == '+' && cell[1] != '-') cell.remove_prefix(1);
  return cell;
}

void put_number(std::int64_t number, std::vector<std::byte>& message) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&number);
  message.insert(message.end(), bytes, bytes + sizeof number);
}

std::int64_t take_number(std::span<const std::byte>& message) {
  std::int64_t number;
  LOCKSTEP_CHECK(message.size() >= sizeof number, "a survey's message is too short");
  std::memcpy(&number, message.data(), sizeof number);
  message = message.subspan(sizeof number);
  return number;
}

void put_text(const std::string& text, std::vector<std::byte>& message) {
  put_number(static_cast<std::int64_t>(text.size()), message);
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  message.insert(message.end(), bytes, bytes + text.size());
}

std::string take_text(std::span<const std::byte>& message) {
  const auto size = static_cast<std::size_t>(take_number(message));
  LOCKSTEP_CHECK(message.size() >= size, "a survey's message is too short");
  std::string text(reinterpret_cast<const char*>(message.data()), size);
  message = message.subspan(size);
  return text;
}

}  // namespace

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

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

MissingCells::MissingCells(const ImportOptions& options) {
  if (options.missing == "error") {
    if (!options.missing_cells.empty())
      throw UserError(
          "--missing-cells says which cells are missing, but --missing not what becomes "
          "of them; give --missing drop, mean or a number");
    return;
  }
  if (options.missing_cells.empty())
    cells_ = {"", "NA", "N/A", "na", "n/a", "NaN", "nan", "null", "NULL", "None", "?"};
  for (const std::string& cell : options.missing_cells) cells_.emplace(trim(cell));
}

bool MissingCells::operator()(std::string_view cell) const {
  return !cells_.empty() && cells_.contains(trim(cell));
}

bool ColumnSeen::count(std::string_view cell, bool keeps_names) {
  float number;
  std::int64_t integer;
  if (parse_integer(cell, integer)) {
    ++integers_;
    smallest_ = std::min(smallest_, integer);
    largest_ = std::max(largest_, integer);
  }
  if (keeps_names && names_.size() <= kMostClasses) names_.emplace(trim(cell));
  if (!parse_number(cell, number)) return false;
  ++numbers_;
  return true;
}

void ColumnSeen::keep_place(const std::string& where, std::string_view cell) {
  const bool empty = trim(cell).empty();
  const std::string what =
      empty ? where + " is empty"
            : fmt::format("{} is \"{}\", which is no finite number", where, cell);
  if (first_other_.empty()) first_other_ = what;
  if (empty && first_empty_.empty()) first_empty_ = what;
}

void ColumnSeen::merge(const ColumnSeen& later) {
  numbers_ += later.numbers_;
  integers_ += later.integers_;
  missing_ += later.missing_;
  smallest_ = std::min(smallest_, later.smallest_);
  largest_ = std::max(largest_, later.largest_);
  if (first_other_.empty()) first_other_ = later.first_other_;
  if (first_empty_.empty()) first_empty_ = later.first_empty_;
  if (first_missing_.empty()) first_missing_ = later.first_missing_;
  names_.insert(later.names_.begin(), later.names_.end());
}

void ColumnSeen::put(std::vector<std::byte>& message) const {
  for (const std::int64_t number : {numbers_, integers_, missing_, smallest_, largest_})
    put_number(number, message);
  for (const std::string* text : {&first_other_, &first_empty_, &first_missing_})
    put_text(*text, message);
  put_number(static_cast<std::int64_t>(names_.size()), message);
  for (const std::string& name : names_) put_text(name, message);
}

ColumnSeen ColumnSeen::take(std::span<const std::byte>& message) {
  ColumnSeen seen;
  for (std::int64_t* number :
       {&seen.numbers_, &seen.integers_, &seen.missing_, &seen.smallest_, &seen.largest_})
    *number = take_number(message);
  for (std::string* text : {&seen.first_other_, &seen.first_empty_, &seen.first_missing_})
    *text = take_text(message);
  for (std::int64_t left = take_number(message); left > 0; --left)
    seen.names_.insert(take_text(message));
  return seen;
}

Labels Labels::settle(const ColumnSeen& seen, std::int64_t total, const std::string& name,
                      const std::string& file, const ImportOptions& options) {
  Labels labels;
  labels.classes = options.target_is_class;
  const std::int64_t there = total - seen.missing_;
  if (!labels.classes) {
    if (seen.numbers_ != there) throw DataError("{}; mend or remove the line", seen.first_other_);
    return labels;
  }
  if (!seen.first_empty_.empty()) throw DataError("{}; mend or remove the line", seen.first_empty_);
  if (seen.missing_ > 0 && options.missing != "drop")
    throw DataError(
        "{}, and a class cannot be filled in; mend or remove the line, or give "
        "--missing drop",
        seen.first_missing_);
  const bool integers = seen.integers_ == there;
  if (seen.numbers_ == there && !integers)
    throw UserError(
        "target column \"{}\" of {} has numbers with fractions; import it as a number, "
        "not as classes",
        name, file);
  const bool plain = integers && seen.smallest_ >= 0;
  if (seen.names_.size() > ColumnSeen::kMostClasses ||
      (plain && seen.largest_ >= static_cast<std::int64_t>(ColumnSeen::kMostClasses)))
    throw UserError("target column \"{}\" of {} has more than {} classes; import it as a number",
                    name, file, ColumnSeen::kMostClasses);
  if (plain) {
    labels.count = seen.largest_ + 1;
    return labels;
  }
  labels.class_names.assign(seen.names_.begin(), seen.names_.end());
  if (integers)  // -1 comes before 1, and 2 before 10
    std::sort(labels.class_names.begin(), labels.class_names.end(),
              [](const auto& a, const auto& b) {
                std::int64_t x = 0, y = 0;
                parse_integer(a, x), parse_integer(b, y);
                return x != y ? x < y : a < b;
              });
  for (const std::string& class_name : labels.class_names)
    labels.class_of.emplace(class_name, static_cast<std::int32_t>(labels.class_of.size()));
  labels.count = static_cast<std::int64_t>(labels.class_names.size());
  return labels;
}

DType Labels::dtype() const {
  if (!classes) return DType::kF32;
  return count <= kMostByteClasses ? DType::kU8 : DType::kI32;
}

bool Labels::write(std::string_view cell, std::byte* out) const {
  if (!classes) {
    float value;
    if (!parse_number(cell, value)) return false;
    std::memcpy(out, &value, sizeof value);
    return true;
  }
  std::int64_t number = 0;
  if (class_of.empty()) {
    if (!parse_integer(cell, number) || number < 0 || number >= count) return false;
  } else {
    const auto known = class_of.find(trim(cell));
    if (known == class_of.end()) return false;
    number = known->second;
  }
  const auto label = static_cast<std::int32_t>(number);  // little endian: u8 is its first byte
  std::memcpy(out, &label, size_of(dtype()));
  return true;
}

}  // namespace lockstep::data
