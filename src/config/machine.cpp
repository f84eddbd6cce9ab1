#include "lockstep/config/machine.h"

#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "config/declaration.h"
#include "lockstep/config/nearest.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/plan/machine_keys.h"

namespace lockstep::config {
namespace {

using plan::MachineKey;

std::string meant(const std::string& word, const std::vector<std::string>& known) {
  const std::string guess = nearest(word, known);
  return guess.empty() ? fmt::format("use {}", fmt::join(known, ", "))
                       : fmt::format("did you mean {}?", guess);
}

// One file, or one of its tables: where it says what.
class Table {
 public:
  Table(const toml::table& table, std::string file, std::string name)
      : table_(table), file_(std::move(file)), name_(std::move(name)) {}

  // Every key of `keys` that stands there; what is neither one of them nor in `others` is refused.
  template <class Owner>
  void read(Owner& owner, const std::vector<MachineKey<Owner>>& keys,
            const std::vector<std::string>& others = {}) const {
    std::vector<std::string> known = others;
    for (const MachineKey<Owner>& key : keys) known.push_back(key.name);
    refuse_unknown(known);
    for (const MachineKey<Owner>& key : keys) {
      const toml::node* node = table_.get(key.name);
      if (node == nullptr) continue;
      std::visit([&](auto member) { owner.*member = value(key, *node, owner.*member); },
                 key.member);
    }
  }

  void refuse_unknown(const std::vector<std::string>& known) const {
    for (const auto& [key, node] : table_) {
      const std::string word(key.str());
      if (std::ranges::count(known, word) > 0) continue;
      throw UserError("{}: unknown key {}; {}", where(key.source()), full(word),
                      meant(word, known));
    }
  }

  // A list of tables, [[name]]; empty where it is not there.
  template <class Owner>
  std::vector<Owner> list(const std::string& key,
                          const std::vector<MachineKey<Owner>>& keys) const {
    std::vector<Owner> out;
    const toml::node* node = table_.get(key);
    if (node == nullptr) return out;
    if (!node->is_array_of_tables())
      throw UserError("{}: {} must be a list of tables, each written as [[{}]]",
                      where(node->source()), full(key), full(key));
    for (const toml::node& item : *node->as_array())
      Table(*item.as_table(), file_, full(key)).read(out.emplace_back(), keys);
    return out;
  }

  // [key]; nothing where it is not there.
  std::optional<Table> inner(const std::string& key) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    if (!node->is_table())
      throw UserError("{}: {} must be a table, written as [{}]", where(node->source()), full(key),
                      full(key));
    return Table(*node->as_table(), file_, full(key));
  }

  std::string text(const std::string& key) const {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return {};
    if (!node->is_string())
      throw UserError("{}: {} must be a text", where(node->source()), full(key));
    return node->as_string()->get();
  }
  std::vector<std::string> keys() const {
    std::vector<std::string> out;
    for (const auto& [key, node] : table_) out.emplace_back(key.str());
    return out;
  }

 private:
  std::string where(const toml::source_region& source) const {
    return fmt::format("{}:{}", file_, source.begin.line);
  }
  std::string full(const std::string& key) const { return name_.empty() ? key : name_ + "." + key; }

  template <class Key>
  [[noreturn]] void refuse(const Key& key, const toml::node& node, const std::string& what) const {
    throw UserError("{}: {} must be {}", where(node.source()), full(key.name), what);
  }

  template <class Key>
  double checked(const Key& key, const toml::node& node, std::optional<double> x) const {
    if (!x) refuse(key, node, "a number");
    if (!std::isfinite(*x) || *x < key.least || (key.most > key.least && *x > key.most)) {
      const bool bounded = key.most < 1e300;
      throw UserError("{}: {} = {} is out of range; allowed: >= {}{}", where(node.source()),
                      full(key.name), *x, key.least,
                      bounded ? fmt::format(", <= {}", key.most) : "");
    }
    return *x;
  }
  static std::optional<double> number(const toml::node& node) {
    if (const auto whole = node.value_exact<std::int64_t>()) return static_cast<double>(*whole);
    return node.value_exact<double>();
  }

  template <class Key>
  double value(const Key& key, const toml::node& node, double) const {
    return checked(key, node, number(node));
  }
  template <class Key>
  std::int64_t value(const Key& key, const toml::node& node, std::int64_t) const {
    const auto whole = node.value_exact<std::int64_t>();
    if (!whole) refuse(key, node, "an integer");
    checked(key, node, static_cast<double>(*whole));
    return *whole;
  }
  template <class Key>
  std::string value(const Key& key, const toml::node& node, const std::string&) const {
    if (!node.is_string()) refuse(key, node, "a text");
    std::string text = node.as_string()->get();
    if (!key.words.empty() && std::ranges::count(key.words, text) == 0)
      throw UserError("{}: {} = {} is not known; {}", where(node.source()), full(key.name),
                      config::quoted(text), meant(text, key.words));
    return text;
  }
  template <class Key>
  std::vector<double> value(const Key& key, const toml::node& node,
                            const std::vector<double>&) const {
    if (!node.is_array()) refuse(key, node, "a list of numbers");
    std::vector<double> list;
    for (const toml::node& item : *node.as_array())
      list.push_back(checked(key, item, number(item)));
    return list;
  }

  const toml::table& table_;
  std::string file_, name_;
};

// "levels.network.latency" is of a level that the file has; "device.fp23" is a typing mistake.
void read_sources(plan::Machine& machine, const Table& table) {
  for (const std::string& figure : table.keys()) machine.sources[figure] = table.text(figure);
}

std::string known_names() {
  std::string names;
  for (const ShippedMachine& machine : shipped_machines())
    names += (names.empty() ? "" : ", ") + machine.name;
  return names;
}

plan::Machine one(const std::string& named) {
  for (const ShippedMachine& machine : shipped_machines()) {
    if (machine.name == named)
      return parse_machine(std::string(machine.toml), "machine " + machine.name);
  }
  std::error_code ignored;
  if (std::filesystem::is_regular_file(named, ignored))
    return parse_machine(read_file(named), named);
  std::vector<std::string> names;
  for (const ShippedMachine& machine : shipped_machines()) names.push_back(machine.name);
  const std::string guess = nearest(named, names);
  throw UserError(
      "there is no machine file {}{} with the program come {}; `lockstep bench calibrate --out "
      "FILE` measures this machine",
      named, guess.empty() ? ";" : fmt::format("; did you mean {}?", guess), known_names());
}

}  // namespace

plan::Machine parse_machine(const std::string& toml, const std::string& name) {
  toml::table document;
  try {
    document = toml::parse(toml, name);
  } catch (const toml::parse_error& error) {
    throw UserError("{}:{}: this is not TOML: {}", name, error.source().begin.line,
                    error.description());
  }
  const Table top(document, name, "");
  top.refuse_unknown({"name", "device", "levels", "files", "reliability", "sources"});
  plan::Machine machine;
  machine.name = top.text("name");
  if (const auto device = top.inner("device")) {
    device->read(machine.device, plan::device_keys(), {"rates", "contention"});
    machine.device.rates = device->list("rates", plan::rate_keys());
    machine.device.contention = device->list("contention", plan::contention_keys());
  }
  machine.levels = top.list("levels", plan::level_keys());
  if (const auto files = top.inner("files")) files->read(machine.files, plan::files_keys());
  if (const auto reliability = top.inner("reliability"))
    reliability->read(machine.reliability, plan::reliability_keys());
  if (const auto sources = top.inner("sources")) read_sources(machine, *sources);
  return machine;
}

plan::Machine read_machine(const std::string& list) {
  std::optional<plan::Machine> machine;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::size_t first = list.find_first_not_of(' ', begin);
    const std::size_t last = list.find_last_not_of(' ', end == 0 ? 0 : end - 1);
    if (first >= end || last == std::string::npos || last < first)
      throw UserError(
          "'{}' is no list of machines; name files or, of those that come with the "
          "program, {}",
          list, known_names());
    const plan::Machine next = one(list.substr(first, last + 1 - first));
    machine = machine ? plan::merged(*machine, next) : next;
    begin = end + 1;
  }
  return *machine;
}

std::string shipped_machines_text() {
  std::string text;
  for (const ShippedMachine& shipped : shipped_machines())
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", shipped.name,
                        parse_machine(std::string(shipped.toml), shipped.name).name);
  return text;
}

}  // namespace lockstep::config
