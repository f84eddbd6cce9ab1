#include "config/reader.h"

#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <optional>

#include "config/options.h"
#include "lockstep/config/nearest.h"
#include "lockstep/core/error.h"

namespace lockstep::config {
namespace {

std::string given_text(const toml::node& node) {
  if (const auto* x = node.as_string()) return quoted(x->get());
  if (const auto* x = node.as_integer()) return fmt::format("{}", x->get());
  if (const auto* x = node.as_floating_point())
    return fmt::format("{} (a number with a fraction)", x->get());
  if (const auto* x = node.as_boolean()) return x->get() ? "true" : "false";
  if (node.is_array()) return "a list";
  if (node.is_table()) return "a table";
  return "a date or time";
}

template <class Item, class Node>
std::optional<std::vector<Item>> list_of(const Node& node) {
  if (const auto single = node.template value_exact<Item>()) return std::vector<Item>{*single};
  const toml::array* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::vector<Item> items;
  for (const toml::node& item : *array) {
    const auto value = item.template value_exact<Item>();
    if (!value) return std::nullopt;
    items.push_back(*value);
  }
  return items;
}

template <class T>
std::optional<Value> held(std::optional<T> value) {
  if (!value) return std::nullopt;
  return Value(std::move(*value));
}

std::optional<Value> convert(const toml::node& node, Type type) {
  switch (type) {
    case Type::kInteger:
      return held(node.value_exact<std::int64_t>());
    case Type::kNumber:
      if (const auto whole = node.value_exact<std::int64_t>()) return static_cast<double>(*whole);
      return held(node.value_exact<double>());
    case Type::kYesNo:
      return held(node.value_exact<bool>());
    case Type::kText:
      return held(node.value_exact<std::string>());
    case Type::kIntegers:
      return held(list_of<std::int64_t>(node));
    case Type::kTexts:
      break;
  }
  return held(list_of<std::string>(node));
}

Value convert_or_refuse(const toml::node& node, const Declaration& d, const std::string& key) {
  if (auto value = convert(node, d.type)) {
    if (d.or_text && *value == Value(Texts{""})) return Texts();
    return std::move(*value);
  }
  const std::string allowed = d.allowed_text();
  throw UserError("{} must be {} {}, not {}{}{}", key, d.type == Type::kInteger ? "an" : "a",
                  d.type == Type::kYesNo ? "yes/no value" : d.type_text(), given_text(node),
                  allowed.empty() ? "" : "; allowed: ", allowed);
}

class WrittenNode : public Written {
 public:
  // `document` owns the node.
  WrittenNode(std::shared_ptr<const toml::table> document, const toml::node& node)
      : document_(std::move(document)), node_(node) {}
  Value as(const Declaration& d, const std::string& key) const override {
    return convert_or_refuse(node_, d, key);
  }

 private:
  std::shared_ptr<const toml::table> document_;
  const toml::node& node_;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

class WrittenArgument : public Written {
 public:
  explicit WrittenArgument(std::string text) : text_(std::move(text)) {}
  Value as(const Declaration& d, const std::string& key) const override {
    const char first = text_.empty() ? ' ' : text_.front();
    const bool is_quoted = first == '"' || first == '\'';
    if (d.type == Type::kText && !is_quoted) return text_;
    if (d.or_text && first != '[' && !is_quoted) return text_.empty() ? Texts() : Texts{text_};
    if (d.type == Type::kTexts && first != '[' && !is_quoted) return split(text_, ',');
    const bool bare_list = d.type == Type::kIntegers && first != '[';
    try {
      const toml::table parsed = toml::parse(bare_list ? "x = [" + text_ + "]" : "x = " + text_);
      return convert_or_refuse(*parsed.get("x"), d, key);
    } catch (const toml::parse_error&) {
      return convert_or_refuse(toml::value<std::string>(text_), d, key);  // says what was given
    }
  }

 private:
  std::string text_;
};

struct Source {
  std::shared_ptr<const toml::table> document;
  std::string name;

  std::string where(const toml::node& node) const {
    return fmt::format("{}:{}", name, node.source().begin.line);
  }
  std::string where(const toml::key& key) const {
    return fmt::format("{}:{}", name, key.source().begin.line);
  }
  Entry entry(const std::string& section, const toml::key& key, const toml::node& node) const {
    return {section, std::string(key.str()), where(key),
            std::make_shared<WrittenNode>(document, node)};
  }
};

void read_list(const Source& source, const std::string& name, const toml::node& node,
               Document& out) {
  const toml::array* array = node.as_array();
  if (array == nullptr || !array->is_array_of_tables()) {
    throw UserError("{}: {} must be a list of tables, each written as [[{}]]", source.where(node),
                    name, name);
  }
  for (const toml::node& item : *array) {
    TableEntry table{source.where(item), {}};
    for (const auto& [key, value] : *item.as_table()) {
      table.keys.push_back(source.entry(name, key, value));
    }
    out.lists[name].push_back(std::move(table));
  }
}

// A key outside of any section: the section that has such a key, if one does.
[[noreturn]] void refuse_loose_key(const std::string& where, const std::string& key) {
  std::vector<std::string> names;
  for (const SectionTable& section : sections()) {
    if (section.find(key) != nullptr) {
      throw UserError("{}: {} stands in no section; did you mean {}.{}?", where, key, section.name,
                      key);
    }
    names.push_back(section.name);
  }
  throw UserError("{}: {} stands in no section; keys belong into one of [{}]", where, key,
                  fmt::join(names, "], ["));
}

}  // namespace

Document read_document(const std::string& toml, const std::string& name) {
  Source source{nullptr, name};
  try {
    source.document = std::make_shared<const toml::table>(toml::parse(toml, name));
  } catch (const toml::parse_error& error) {
    throw UserError("{}:{}: this is not TOML: {}", name, error.source().begin.line,
                    error.description());
  }
  Document out;
  for (const auto& [section, node] : *source.document) {
    const toml::table* table = node.as_table();
    const std::string section_name(section.str());
    if (table == nullptr && find_section(section_name) == nullptr && !node.is_array_of_tables()) {
      refuse_loose_key(source.where(section), section_name);
    }
    if (table == nullptr) {
      throw UserError("{}: {} must be a section, written as [{}]", source.where(section),
                      section_name, section_name);
    }
    // A section without a key is still one that may be misspelt.
    if (find_section(section_name) == nullptr)
      out.entries.push_back({section_name, "", source.where(*table), nullptr});
    for (const auto& [key, value] : *table) {
      const std::string full = section_name + "." + std::string(key.str());
      if (is_list(full)) {
        read_list(source, full, value, out);
      } else {
        out.entries.push_back(source.entry(section_name, key, value));
      }
    }
  }
  return out;
}

Entry read_override(const std::string& argument) {
  const std::string where = "--set " + argument;
  const std::size_t equals = argument.find('=');
  const std::size_t dot = argument.find('.');
  if (equals == std::string::npos || dot == std::string::npos || dot > equals || dot == 0 ||
      dot + 1 == equals) {
    throw UserError("{}: write it as --set section.key=value, for example --set train.batch=128",
                    where);
  }
  const std::string section = argument.substr(0, dot);
  const std::string key = argument.substr(dot + 1, equals - dot - 1);
  for (const std::string& name : list_names()) {
    if ((section + "." + key).starts_with(name))
      throw UserError("{}: {} are described in the run file only, as [[{}]]", where,
                      name.substr(name.find('.') + 1), name);
  }
  return {section, key, where, std::make_shared<WrittenArgument>(argument.substr(equals + 1))};
}

}  // namespace lockstep::config
