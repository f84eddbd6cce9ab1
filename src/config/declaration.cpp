#include "config/declaration.h"

#include <algorithm>
#include <cmath>

#include "lockstep/config/nearest.h"
#include "lockstep/core/error.h"

namespace lockstep::config {
namespace {

std::string number_text(double x) {
  return std::abs(x) < 1e15 && x == std::floor(x) ? fmt::format("{:.0f}", x) : fmt::format("{}", x);
}

void check_number(const Declaration& d, const std::string& key, const Value& value, double x) {
  if (!std::isfinite(x) || !d.range.holds(x)) {
    const std::string allowed = d.range.text();
    throw UserError("{} = {} is out of range; allowed: {}", key, toml_text(value),
                    allowed.empty() ? "finite numbers" : allowed);
  }
}

void check_word(const Declaration& d, const std::string& key, const Value& value,
                const std::string& text) {
  if (text.empty() && !d.may_be_empty) throw UserError("{} must not be empty", key);
  if (d.words.empty() || std::ranges::count(d.words, text) > 0) return;
  if (text.empty() && d.type == Type::kText) return;
  const std::string near = nearest(text, d.words);
  throw UserError(
      "{} = {} is not known; use {}{}", key, toml_text(value),
      fmt::format("{}", fmt::join(d.words, ", ")),
      near.empty() || d.words.size() == 1 ? "" : fmt::format(" (did you mean {}?)", near));
}

}  // namespace

bool Range::holds(double x) const {
  return (above_minimum ? x > minimum : x >= minimum) &&
         (below_maximum ? x < maximum : x <= maximum);
}

std::string Range::text() const {
  std::string text;
  if (minimum != -kUnbounded) {
    text = fmt::format("{} {}", above_minimum ? ">" : ">=", number_text(minimum));
  }
  if (maximum != kUnbounded) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ",
                        below_maximum ? "<" : "<=", number_text(maximum));
  }
  return text;
}

std::string Declaration::type_text() const {
  switch (type) {
    case Type::kInteger:
      return "integer";
    case Type::kNumber:
      return "number";
    case Type::kYesNo:
      return "yes/no";
    case Type::kText:
      return "text";
    case Type::kIntegers:
      return "list of integers";
    case Type::kTexts:
      break;
  }
  return or_text ? "text or list of texts" : "list of texts";
}

std::string Declaration::allowed_text() const {
  if (!words.empty()) return fmt::format("{}", fmt::join(words, ", "));
  if (type == Type::kYesNo) return "true, false";
  return range.text();
}

bool Declaration::applies_to(const std::string& value) const {
  return only_for.empty() || std::ranges::count(only_for, value) > 0;
}

bool Declaration::is_required_for(const std::string& value) const {
  return required && applies_to(value) &&
         (required_for.empty() || std::ranges::count(required_for, value) > 0);
}

void Declaration::validate(const std::string& key, const Value& value) const {
  LOCKSTEP_CHECK(value.index() == static_cast<std::size_t>(type), "a value of {} has another type",
                 key);
  if (const auto* x = std::get_if<std::int64_t>(&value)) {
    check_number(*this, key, value, static_cast<double>(*x));
  }
  if (const auto* x = std::get_if<double>(&value)) check_number(*this, key, value, *x);
  if (const auto* text = std::get_if<std::string>(&value)) check_word(*this, key, value, *text);
  if (const auto* list = std::get_if<Integers>(&value)) {
    for (const std::int64_t x : *list) check_number(*this, key, value, static_cast<double>(x));
    if (list->empty() && !may_be_empty) throw UserError("{} must not be empty", key);
  }
  if (const auto* list = std::get_if<Texts>(&value)) {
    for (const std::string& text : *list) check_word(*this, key, value, text);
  }
  if (check) check(value);
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string toml_text(const Value& value) {
  struct Printer {
    std::string operator()(std::int64_t x) const { return fmt::format("{}", x); }
    std::string operator()(double x) const { return fmt::format("{}", x); }  // shortest round trip
    std::string operator()(bool x) const { return x ? "true" : "false"; }
    std::string operator()(const std::string& x) const { return quoted(x); }
    std::string operator()(const Integers& list) const {
      return fmt::format("[{}]", fmt::join(list, ", "));
    }
    std::string operator()(const Texts& list) const {
      Texts items;
      for (const std::string& text : list) items.push_back(quoted(text));
      return fmt::format("[{}]", fmt::join(items, ", "));
    }
  };
  return std::visit(Printer{}, value);
}

std::string toml_text(const Declaration& declaration, const Value& value) {
  const auto* list = std::get_if<Texts>(&value);
  if (declaration.or_text && list != nullptr && list->size() <= 1)
    return quoted(list->empty() ? "" : list->front());
  return toml_text(value);
}

}  // namespace lockstep::config
