#include <array>

#include "lockstep/core/error.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {
namespace {

constexpr std::array kInputNames{"image",  "images", "features", "input",
                                 "inputs", "data",   "x",        "X"};
constexpr std::array kTargetNames{"label", "labels", "target", "targets", "y", "Y"};

const Field* by_role(const Split& split, const std::string& role) {
  for (const Field& field : split.fields)
    if (field.role == role) return &field;
  const auto first_of = [&](const auto& names) -> const Field* {
    for (const char* name : names)
      if (const Field* field = split.find(name)) return field;
    return nullptr;
  };
  if (role == "input") return first_of(kInputNames);
  return role == "target" ? first_of(kTargetNames) : nullptr;
}

}  // namespace

const Field& resolve_field(const Manifest& manifest, const std::string& split_name,
                           const std::string& name, const std::string& role) {
  const std::string file = manifest.name();
  const Split* split = manifest.find(split_name);
  if (split == nullptr) {
    std::string known;
    for (const Split& s : manifest.splits) known += (known.empty() ? "" : ", ") + s.name;
    throw UserError("{} has no split \"{}\"; it has: {}", file, split_name, known);
  }
  const Field* field = name.empty() ? by_role(*split, role) : split->find(name);
  if (field != nullptr) return *field;
  std::string known;
  for (const Field& f : split->fields) known += (known.empty() ? "" : ", ") + f.name;
  if (name.empty())
    throw UserError("{} does not say which field is the {}; set data.{} to one of: {}", file, role,
                    role, known);
  throw UserError("{} has no field \"{}\" in its split \"{}\"; it has: {}", file, name, split_name,
                  known);
}

}  // namespace lockstep::data
