// What is declared of one key of a run file: type, range, words, help, and how it is read into and
// printed from the struct that owns it. Knows no TOML; the reader and the printers know no keys.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace lockstep::config {

using Integers = std::vector<std::int64_t>;
using Texts = std::vector<std::string>;
using Value = std::variant<std::int64_t, double, bool, std::string, Integers, Texts>;
enum class Type : std::uint8_t { kInteger, kNumber, kYesNo, kText, kIntegers, kTexts };  // as Value

inline constexpr double kUnbounded = std::numeric_limits<double>::infinity();
struct Range {
  double minimum = -kUnbounded, maximum = kUnbounded;
  bool above_minimum = false, below_maximum = false;  // the bound itself is excluded
  bool holds(double x) const;
  std::string text() const;  // ">= 1, <= 8"; empty without bounds
};

struct Declaration {
  std::string name;
  Type type = Type::kText;
  std::string help;
  Range range;  // of a number, or of each number of a list
  Texts words;  // the only texts allowed, when not empty
  bool may_be_empty = true;
  bool or_text = false;  // a list of texts of which one alone may stand without brackets
  bool required = false;  // for all that have the key, or for required_for alone
  Texts required_for;
  std::string only_with;  // a key of the same section, or "kind" of a layer ...
  Texts only_for;         // ... that must have one of these values for this key to mean anything
  std::function<void(const Value&)> check;  // what range and words cannot say; throws UserError

  std::string type_text() const;     // "integer", "list of integers", ...
  std::string allowed_text() const;  // range or words; empty when everything of the type is
  bool applies_to(const std::string& value) const;
  bool is_required_for(const std::string& value) const;
  void validate(const std::string& key, const Value& value) const;  // throws UserError
};

// "0.001", "\"adamw\"", "[64, 32]": TOML text that reads back as the same value.
std::string toml_text(const Value& value);
std::string toml_text(const Declaration& declaration, const Value& value);  // the shorter form
std::string quoted(const std::string& text);

template <class Owner>
struct Option : Declaration {
  std::function<void(Owner&, const Value&)> set;
  std::function<Value(const Owner&)> get;

  Option&& between(double low, double high) && { return std::move(*this).in({low, high}); }
  Option&& at_least(double low) && { return std::move(*this).in({low}); }
  Option&& above(double low) && { return std::move(*this).in({low, kUnbounded, true}); }
  Option&& in(Range r) && { return range = r, std::move(*this); }
  Option&& one_of(Texts allowed) && { return words = std::move(allowed), std::move(*this); }
  Option&& not_empty() && { return may_be_empty = false, std::move(*this); }
  Option&& or_one_text() && { return or_text = true, std::move(*this); }
  Option&& needed(Texts values = {}) && {
    required = true, required_for = std::move(values);
    return std::move(*this);
  }
  Option&& checked(std::function<void(const Value&)> f) && {
    return check = std::move(f), std::move(*this);
  }
  Option&& only(std::string key, Texts values) && {
    only_with = std::move(key), only_for = std::move(values);
    return std::move(*this);
  }
};

// A key whose type is the type of the member that `at` names: the two cannot drift apart.
template <class Owner, class At>
Option<Owner> option(std::string name, At at, std::string help) {
  using Field = std::remove_reference_t<decltype(at(std::declval<Owner&>()))>;
  using Held = std::conditional_t<std::is_integral_v<Field> && !std::is_same_v<Field, bool>,
                                  std::int64_t, Field>;
  Option<Owner> o;
  o.name = std::move(name);
  o.help = std::move(help);
  o.type = static_cast<Type>(Value(Held{}).index());
  if constexpr (std::is_unsigned_v<Field> && !std::is_same_v<Field, bool>) o.range.minimum = 0;
  o.set = [at](Owner& owner, const Value& value) {
    at(owner) = static_cast<Field>(std::get<Held>(value));
  };
  o.get = [at](const Owner& owner) { return Value(static_cast<Held>(at(owner))); };
  return o;
}

// A key whose words stand for the values of an enumeration.
template <class Enum>
using Words = std::vector<std::pair<std::string, Enum>>;

template <class Owner, class Enum, class At>
Option<Owner> choice(std::string name, At at, Words<Enum> words, std::string help) {
  Option<Owner> o;
  o.name = std::move(name);
  o.help = std::move(help);
  o.type = Type::kText;
  o.may_be_empty = false;
  for (const auto& [word, value] : words) o.words.push_back(word);
  o.set = [at, words](Owner& owner, const Value& value) {
    for (const auto& [word, meaning] : words) {
      if (word == std::get<std::string>(value)) at(owner) = meaning;
    }
  };
  o.get = [at, words](const Owner& owner) -> Value {
    for (const auto& [word, meaning] : words) {
      if (meaning == at(owner)) return word;
    }
    return std::string();
  };
  return o;
}

}  // namespace lockstep::config
