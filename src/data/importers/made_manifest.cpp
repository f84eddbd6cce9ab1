#include "made_manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "../manifest_json.h"

namespace lockstep::data {
namespace {

using nlohmann::json;

json names_of(const std::vector<std::filesystem::path>& files) {
  json names = json::array();
  for (const auto& file : files) {
    const auto plain = file.has_filename() ? file : file.parent_path();  // "folder/"
    names.push_back(plain.filename().string());
  }
  return names;
}

json inputs_of(const ImportOptions& options) {
  json inputs = json::array();
  for (const auto* files : {&options.train, &options.val, &options.test})
    for (const auto& file : *files) {
      json input{{"name", file.string()}};
      std::error_code error;  // a folder has no size
      if (const auto bytes = std::filesystem::file_size(file, error); !error)
        input["bytes"] = bytes;
      inputs.push_back(input);
    }
  return inputs;
}

json field_of(const SourceField& source, const Written& written) {
  json field = json::object();
  if (!source.role.empty()) field["role"] = source.role;
  if (!source.unit.empty()) field["unit"] = source.unit;
  if (!source.column_names.empty()) field["columns"] = source.column_names;
  if (source.classes) {
    std::size_t classes = source.class_names.size();
    for (const Split& split : written.splits)
      if (const Field* known = split.find(source.column.name))
        classes = std::max(classes, known->figures.classes.size());
    field["classes"] = classes;
    if (!source.class_names.empty()) field["class_names"] = source.class_names;
  }
  tell_splits(written, source.column.name, field);
  return field;
}

}  // namespace

json made_of(const ImportOptions& options, const std::string& format) {
  json made{{"by", "lockstep import"},
            {"format", format},
            {"train", names_of(options.train)},
            {"val", names_of(options.val)},
            {"test", names_of(options.test)},
            {"val_fraction", options.val_fraction},
            {"test_fraction", options.test_fraction},
            {"seed", options.seed},
            {"inputs", inputs_of(options)}};
  if (options.missing != "error") made["missing"] = options.missing;
  if (!options.command.empty()) made["command"] = options.command;
  if (!options.version.empty()) made["version"] = options.version;
  return made;
}

std::string made_manifest(const ImportOptions& options, const std::string& format,
                          const SourceDescription& source, const Written& written,
                          const Manifest* old) {
  json fields;
  for (const SourceField& field : source.fields)
    fields[field.column.name] = field_of(field, written);
  json made = made_of(options, format);
  made["left_out"] = source.left_out;
  json all{{"fields", fields}, {"made", made}};
  tell_version(written, old, std::filesystem::absolute(options.out).parent_path(), all);
  return dump(all);
}

}  // namespace lockstep::data
