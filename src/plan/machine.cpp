#include "lockstep/plan/machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/plan/machine_keys.h"

namespace lockstep::plan {
namespace {

// Figures that `over` has: those that are not as they were made.
template <class Owner>
void take(Owner& base, const Owner& over, const std::vector<MachineKey<Owner>>& keys) {
  const Owner made;
  for (const MachineKey<Owner>& key : keys) {
    std::visit(
        [&](auto member) {
          if (over.*member != made.*member) base.*member = over.*member;
        },
        key.member);
  }
}

void drop_sources(Machine& machine, const std::string& table) {
  std::erase_if(machine.sources, [&](const auto& source) {
    return source.first == table || source.first.starts_with(table + ".");
  });
}

void take_device(Machine& base, const Machine& over) {
  if (!over.device.name.empty()) {
    drop_sources(base, "device");
    base.device = over.device;
    return;
  }
  take(base.device, over.device, device_keys());
  if (!over.device.rates.empty()) {
    drop_sources(base, "device.rates");
    base.device.rates = over.device.rates;
  }
  if (!over.device.contention.empty()) base.device.contention = over.device.contention;
}

void take_levels(Machine& base, const Machine& over) {
  for (const Level& level : over.levels) {
    drop_sources(base, "levels." + level.name);
    const auto same = std::ranges::find(base.levels, level.name, &Level::name);
    if (same != base.levels.end()) {
      *same = level;
    } else {
      base.levels.push_back(level);
    }
  }
  std::ranges::stable_partition(base.levels,
                                [](const Level& level) { return level.name == "node"; });
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

struct Printer {
  std::string operator()(const std::string& text) const { return quoted(text); }
  std::string operator()(std::int64_t number) const { return fmt::format("{}", number); }
  std::string operator()(double number) const { return fmt::format("{}", number); }  // shortest
  std::string operator()(const std::vector<double>& list) const {
    return fmt::format("[{}]", fmt::join(list, ", "));
  }
};

// The keys that are not as they were made; the others read back as that.
template <class Owner>
std::string keys_text(const Owner& owner, const std::vector<MachineKey<Owner>>& keys) {
  const Owner made;
  std::string text;
  for (const MachineKey<Owner>& key : keys) {
    std::visit(
        [&](auto member) {
          if (owner.*member != made.*member)
            text += fmt::format("{} = {}\n", key.name, Printer()(owner.*member));
        },
        key.member);
  }
  return text;
}

template <class Owner>
std::string table_text(const Owner& owner, const std::vector<MachineKey<Owner>>& keys,
                       const std::string& name) {
  const std::string text = keys_text(owner, keys);
  return text.empty() ? "" : fmt::format("\n[{}]\n{}", name, text);
}

template <class Owner>
std::string list_text(const std::vector<Owner>& list, const std::vector<MachineKey<Owner>>& keys,
                      const std::string& name) {
  std::string text;
  for (const Owner& owner : list) text += fmt::format("\n[[{}]]\n{}", name, keys_text(owner, keys));
  return text;
}

}  // namespace

Machine merged(const Machine& base, const Machine& over) {
  Machine machine = base;
  machine.name = base.name.empty()   ? over.name
                 : over.name.empty() ? base.name
                                     : base.name + ", " + over.name;
  take_device(machine, over);
  take_levels(machine, over);
  take(machine.files, over.files, files_keys());
  take(machine.reliability, over.reliability, reliability_keys());
  for (const auto& [figure, source] : over.sources) machine.sources[figure] = source;
  return machine;
}

void check_complete(const Machine& machine, const std::string& name) {
  const auto need = [&name](bool there, const std::string& key, const char* remedy) {
    if (!there) throw UserError("{}: the machine has no {}; {}", name, key, remedy);
  };
  constexpr const char* kDevice =
      "name a device too (a100-40gb, h100, ...), or measure it: lockstep bench calibrate --out "
      "FILE";
  constexpr const char* kLevel =
      "name what lies between its ranks (nvlink3, ib-hdr, ...), or give the figure in a file of "
      "your own";
  need(!machine.device.kind.empty(), "device.kind", kDevice);
  need(machine.device.fp32 > 0, "device.fp32", kDevice);
  need(machine.device.memory_bandwidth > 0, "device.memory_bandwidth", kDevice);
  for (const Level& level : machine.levels) {
    need(!level.name.empty(), "name of a level ([[levels]])", "call it node, rack or network");
    need(level.latency > 0, fmt::format("latency of level {}", level.name), kLevel);
    need(level.bandwidth > 0, fmt::format("bandwidth of level {}", level.name), kLevel);
  }
}

std::string machine_toml(const Machine& machine) {
  std::string text = fmt::format("name = {}\n", quoted(machine.name));
  text += table_text(machine.device, device_keys(), "device");
  text += list_text(machine.device.rates, rate_keys(), "device.rates");
  text += list_text(machine.device.contention, contention_keys(), "device.contention");
  text += list_text(machine.levels, level_keys(), "levels");
  text += table_text(machine.files, files_keys(), "files");
  text += table_text(machine.reliability, reliability_keys(), "reliability");
  if (!machine.sources.empty()) text += "\n[sources]\n";
  for (const auto& [figure, source] : machine.sources)
    text += fmt::format("{} = {}\n", quoted(figure), quoted(source));
  return text;
}

}  // namespace lockstep::plan
