#include "lockstep/config/run.h"

#include <algorithm>
#include <map>

#include "config/options.h"
#include "config/reader.h"
#include "lockstep/config/nearest.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"

namespace lockstep::config {
namespace {

using train::Run;
using Places = std::map<std::string, std::string>;  // "train.batch" -> where it was last given

std::string place(const Places& places, const std::string& key, const std::string& name) {
  const auto found = places.find(key);
  return found == places.end() ? name : found->second;
}

template <class Owner>
Texts names_of(const std::vector<Option<Owner>>& options) {
  Texts names;
  for (const auto& o : options) names.push_back(o.name);
  return names;
}

std::string meant(const std::string& guess) {
  return guess.empty() ? "; `lockstep config --options` lists all keys"
                       : fmt::format("; did you mean {}?", guess);
}

[[noreturn]] void refuse_unknown(const Entry& entry) {
  const SectionTable* section = find_section(entry.section);
  if (section == nullptr) {
    Texts names;
    for (const SectionTable& s : sections()) names.push_back(s.name);
    const std::string guess = nearest(entry.section, names);
    throw UserError("{}: unknown section [{}]; {}", entry.where, entry.section,
                    guess.empty() ? fmt::format("use one of [{}]", fmt::join(names, "], ["))
                                  : fmt::format("did you mean [{}]?", guess));
  }
  std::string guess;
  Texts all;
  for (const SectionTable& other : sections()) {
    if (other.find(entry.key) != nullptr && guess.empty()) guess = other.name + "." + entry.key;
    for (const auto& o : other.options) all.push_back(other.name + "." + o.name);
  }
  if (guess.empty()) {
    guess = nearest(entry.key, names_of(section->options));
    if (!guess.empty()) guess = section->name + "." + guess;
  }
  if (guess.empty()) guess = nearest(entry.section + "." + entry.key, all);
  throw UserError("{}: unknown key {}.{}{}", entry.where, entry.section, entry.key, meant(guess));
}

// Reads, checks and stores one value; every refusal names the place.
template <class Owner>
void store(Owner& owner, const Option<Owner>& o, const Entry& entry, const std::string& key) {
  try {
    const Value value = entry.written->as(o, key);
    o.validate(key, value);
    o.set(owner, value);
  } catch (const UserError& error) {
    throw UserError("{}: {}", entry.where, error.what());
  }
}

void apply(Run& run, const Entry& entry, Places& places) {
  const SectionTable* section = find_section(entry.section);
  const Option<Run>* o = section == nullptr ? nullptr : section->find(entry.key);
  if (o == nullptr) refuse_unknown(entry);
  const std::string key = entry.section + "." + entry.key;
  store(run, *o, entry, key);
  places[key] = entry.where;
}

// One table of a list. What decides which keys it may have is read first, wherever it stands.
template <class Owner>
Owner read_table(const TableEntry& written, const std::vector<Option<Owner>>& keys,
                 const std::string& what, std::size_t number) {
  Owner owner;
  Places places;
  const auto find = [&](const std::string& name) {
    return std::ranges::find(keys, name, &Option<Owner>::name);
  };
  const auto decider = [&](const Option<Owner>& o) {
    return std::get<std::string>(find(o.only_with)->get(owner));
  };
  for (const Entry& entry : written.keys) {
    const bool decides = std::ranges::count(keys, entry.key, &Option<Owner>::only_with) > 0;
    if (decides) store(owner, *find(entry.key), entry, entry.key);
  }
  for (const Entry& entry : written.keys) {
    const auto o = find(entry.key);
    if (o == keys.end()) {
      const std::string guess = nearest(entry.key, names_of(keys));
      std::vector<std::string> known;
      for (const Option<Owner>& option : keys)
        if (option.only_for.empty() || option.applies_to(decider(option)))
          known.push_back(option.name);
      throw UserError(
          "{}: unknown key {} of a {}{}", entry.where, entry.key, what,
          guess.empty() ? fmt::format("; it may have {}", fmt::join(known, ", ")) : meant(guess));
    }
    if (!o->only_for.empty() && !decider(*o).empty() && !o->applies_to(decider(*o))) {
      throw UserError("{}: a {} of {} {} has no {}; only {} {}", entry.where, what, o->only_with,
                      decider(*o), entry.key, fmt::join(o->only_for, ", "),
                      o->only_for.size() == 1 ? "has" : "have");
    }
    store(owner, *o, entry, entry.key);
    places[entry.key] = entry.where;
  }
  for (const auto& o : keys) {
    if (!o.is_required_for(o.only_for.empty() ? "" : decider(o)) || places.contains(o.name))
      continue;
    throw UserError(
        "{}: {} {} needs the key {}{}", written.where, what, number, o.name,
        o.words.empty() ? "" : fmt::format("; use one of {}", fmt::join(o.words, ", ")));
  }
  return owner;
}

template <class Owner>
void read_list(const Document& document, const std::string& name,
               const std::vector<Option<Owner>>& keys, const std::string& what,
               std::vector<Owner>& out) {
  const auto written = document.lists.find(name);
  if (written == document.lists.end()) return;
  for (std::size_t i = 0; i < written->second.size(); ++i)
    out.push_back(read_table(written->second[i], keys, what, i + 1));
}

// A key that means nothing beside another's value is refused: silence would hide a mistake.
void check_applicable(const Run& run, const Places& places) {
  for (const SectionTable& section : sections()) {
    for (const auto& o : section.options) {
      const auto given = places.find(section.name + "." + o.name);
      if (given == places.end() || section.applies(o, run)) continue;
      throw UserError("{}: {} has no effect with {}.{} = \"{}\"; it is for {}", given->second,
                      given->first, section.name, o.only_with, section.deciding_value(o, run),
                      fmt::join(o.only_for, ", "));
    }
  }
}

void check_batch(const Run& run, const Places& places, const std::string& name) {
  const std::int64_t unit = run.train.lanes * run.train.accumulate;
  const std::int64_t batch = run.train.batch;
  if (batch % unit == 0) return;
  const std::int64_t below = batch / unit * unit;
  std::string where = place(places, "train.batch", "");
  if (where.empty()) where = place(places, "train.lanes", "");
  if (where.empty()) where = place(places, "train.accumulate", name);
  throw UserError(
      "{}: train.batch = {} cannot be cut into train.lanes x train.accumulate = {} x {} equal "
      "microbatches; the nearest batch{} {}{}",
      where, batch, run.train.lanes, run.train.accumulate,
      below == 0 ? " that fits is" : "es that fit are",
      below == 0 ? "" : fmt::format("{} and ", below), below + unit);
}

void check_model(const Run& run, const Places& places, const Document& document) {
  if (!run.model.layers.empty() && !run.model.preset.preset.empty()) {
    throw UserError(
        "{}: the model is described twice, by model.preset = \"{}\" ({}) and by "
        "[[model.layers]]; keep one of them",
        document.lists.at("model.layers").front().where, run.model.preset.preset,
        place(places, "model.preset", "default"));
  }
}

}  // namespace

Run parse_run(const std::string& toml, const std::string& name,
              const std::vector<std::string>& overrides) {
  const Document document = read_document(toml, name);
  Run run;
  Places places;
  for (const Entry& entry : document.entries) apply(run, entry, places);
  read_list(document, "model.layers", layer_keys(), "layer", run.model.layers);
  read_list(document, "data.fields", field_keys(), "field", run.data.dataset.fields);
  read_list(document, "data.splits", split_keys(), "split", run.data.dataset.splits);
  for (const std::string& argument : overrides) apply(run, read_override(argument), places);
  check_model(run, places, document);
  check_applicable(run, places);
  check_batch(run, places, name);
  return run;
}

Run read_run(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  return parse_run(read_file(file), file.string(), overrides);
}

void check_complete(const Run& run, const std::string& name) {
  if (run.data.path().empty()) {
    throw UserError(
        "{}: data.path is missing; name the dataset file in [data], or use "
        "--set data.path=FILE (`lockstep import` makes one)",
        name);
  }
  if (run.model.preset.preset.empty() && run.model.layers.empty()) {
    throw UserError(
        "{}: there is no model; set model.preset to one of {}, or describe layers in "
        "[[model.layers]]",
        name, fmt::join(nn::preset_names(), ", "));
  }
}

}  // namespace lockstep::config
