#include "manifest_text.h"

#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

using nlohmann::json;

json field_to_json(const Field& f) {
  return {{"name", f.name},
          {"path", f.path},
          {"dtype", std::string(name_of(f.dtype))},
          {"sample", std::vector<std::int64_t>(f.sample.begin(), f.sample.end())},
          {"count", f.count},
          {"chunk", f.chunk},
          {"role", f.role},
          {"has_statistics", f.has_statistics},
          {"statistics", {f.mean, f.deviation, f.minimum, f.maximum}},
          {"classes", f.classes},
          {"cut", {f.sequence, f.shift}}};
}

Field field_from_json(const json& j) {
  Field f;
  f.name = j.at("name");
  f.path = j.at("path");
  f.dtype = dtype_from(j.at("dtype").get<std::string>());
  f.sample = Shape(std::span<const std::int64_t>(j.at("sample").get<std::vector<std::int64_t>>()));
  f.count = j.at("count");
  f.chunk = j.at("chunk");
  f.role = j.at("role");
  f.has_statistics = j.at("has_statistics");
  const json& s = j.at("statistics");
  f.mean = s.at(0), f.deviation = s.at(1), f.minimum = s.at(2), f.maximum = s.at(3);
  f.classes = j.at("classes");
  f.sequence = j.at("cut").at(0), f.shift = j.at("cut").at(1);
  return f;
}

void apply_to_field(const json& told, Field& f) {
  f.role = told.value("role", "");
  f.classes = told.value("classes", std::int64_t{0});
  if (!told.contains("statistics")) return;
  const json& s = told.at("statistics");
  f.has_statistics = true;
  f.mean = s.at("mean"), f.deviation = s.at("deviation");
  f.minimum = s.at("minimum"), f.maximum = s.at("maximum");
}

}  // namespace

std::string to_text(const Manifest& manifest) {
  json splits = json::array();
  for (const Split& split : manifest.splits) {
    json fields = json::array();
    for (const Field& f : split.fields) fields.push_back(field_to_json(f));
    splits.push_back({{"name", split.name}, {"samples", split.samples}, {"fields", fields}});
  }
  const json all{{"file", manifest.file.string()}, {"splits", splits}, {"text", manifest.text}};
  // Names in a foreign file may be any bytes: what is not UTF-8 is replaced.
  return all.dump(-1, ' ', false, json::error_handler_t::replace);
}

Manifest manifest_from_text(const std::string& text) {
  const json all = json::parse(text);
  Manifest manifest;
  manifest.file = all.at("file").get<std::string>();
  manifest.text = all.at("text");
  for (const json& j : all.at("splits")) {
    Split split;
    split.name = j.at("name");
    split.samples = j.at("samples");
    for (const json& f : j.at("fields")) split.fields.push_back(field_from_json(f));
    manifest.splits.push_back(std::move(split));
  }
  return manifest;
}

void apply_own_manifest(Manifest& manifest) {
  const std::string file = manifest.file.string();
  try {
    const json told = json::parse(manifest.text);
    const int format = told.at("format");
    if (format != kManifestFormat)
      throw DataError("{} has manifest format {}, this program reads {}; import it again", file,
                      format, kManifestFormat);
    for (Split& split : manifest.splits)
      for (Field& f : split.fields)
        if (told.at("fields").contains(f.name)) apply_to_field(told.at("fields").at(f.name), f);
  } catch (const json::exception& error) {
    throw DataError("{}: attribute {} is not a manifest ({}); import the file again", file,
                    kManifestAttribute, error.what());
  }
}

}  // namespace lockstep::data
