#include "manifest_text.h"

#include <nlohmann/json.hpp>
#include <span>

#include "hash_store.h"
#include "links.h"
#include "lockstep/core/error.h"
#include "lockstep/data/probe.h"
#include "lockstep/data/versions.h"
#include "manifest_json.h"

namespace lockstep::data {
namespace {

using nlohmann::json;

void apply_format_1(const json& told, const Split& split, Field& f) {
  f.role = told.value("role", "");
  f.classes = told.value("classes", std::int64_t{0});
  if (told.contains("class_counts"))
    f.figures.classes =
        told["class_counts"].value(split.name, json::array()).get<std::vector<std::int64_t>>();
  if (!told.contains("statistics")) return;
  f.reference = figures_from(told["statistics"]);
  if (split.name == "train") f.figures = f.reference;
}

void apply_format_2(const json& told, const Split& split, Field& f) {
  f.role = told.value("role", "");
  f.unit = told.value("unit", f.unit);
  f.classes = told.value("classes", std::int64_t{0});
  const json splits = told.value("splits", json::object());
  if (!splits.contains(split.name)) return;
  const json& mine = splits[split.name];
  f.figures = figures_from(mine.value("figures", json::object()));
  f.hash = mine.value("hash", "");
  if (!f.hash.empty()) f.hashes = hashes_path(split.name, f.name);
}

// A version names the files whose chunks it shares by their place from its own folder.
void add_files(const json& told, Manifest& manifest) {
  const std::filesystem::path own = manifest.files.front();
  const Reach reach(manifest.follow, {own});
  for (const json& file : told.at("files")) {
    const std::filesystem::path path =
        own.parent_path() / std::filesystem::path(file.at("path").get<std::string>());
    reach.check(path, fmt::format("{}: its manifest", own.string()));
    std::error_code error;
    const auto bytes = std::filesystem::file_size(path, error);
    if (error)
      throw DataError("{} shares the samples of {}, which is not there: {}", own.string(),
                      path.string(), error.message());
    if (bytes != file.at("bytes").get<std::uintmax_t>())
      throw DataError("{} shares the samples of {}, which has {} bytes, not {}: another file",
                      own.string(), path.string(), bytes, file.at("bytes").get<std::uintmax_t>());
    manifest.files.push_back(path);
  }
  probe(std::span(manifest.files).subspan(1), manifest.follow, Description().probe);
}

// All splits and fields, with pieces in those files. Its own file may have no datasets of a split.
void take_shared(const json& told, Manifest& manifest) {
  manifest.splits.clear();
  for (const json& split : told.at("shared")) manifest.splits.push_back(split_from(split));
  if (manifest.splits.empty())
    throw DataError("{}: its manifest names no splits; make the version again", manifest.name());
}

void check_all_there(const json& told, const Manifest& manifest) {
  for (const auto& [name, field] : told.at("fields").items()) {
    const json splits = field.value("splits", json::object());
    for (const auto& [split, of] : splits.items())
      if (manifest.find(split) == nullptr || manifest.find(split)->find(name) == nullptr)
        throw DataError("{}: dataset /{}/{} is missing; import the file again", manifest.name(),
                        split, name);
  }
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields)
      if (field.hash.empty())
        throw DataError(
            "{}: its manifest does not know dataset {}, which came later; import the "
            "file again",
            manifest.name(), field.path);
}

void take_told(const json& told, Manifest& manifest) {
  const int format = told.at("format");
  if (format < 1 || format > kManifestFormat)
    throw DataError("{} has manifest format {}, this program reads 1 to {}; import it again",
                    manifest.name(), format, kManifestFormat);
  if (told.contains("files")) {
    add_files(told, manifest);
    take_shared(told, manifest);
  }
  for (Split& split : manifest.splits)
    for (Field& f : split.fields) {
      if (!told.at("fields").contains(f.name)) continue;
      const json& field = told["fields"][f.name];
      format == 1 ? apply_format_1(field, split, f) : apply_format_2(field, split, f);
    }
  if (format == 1) return;
  check_all_there(told, manifest);
  give_reference(manifest);
  manifest.hashes = manifest.files.front();
  manifest.id = dataset_id(manifest);
  if (const std::string id = told.value("id", ""); id != manifest.id)
    throw DataError("{}: attribute {} is damaged: it says id {}, and its hashes make {}",
                    manifest.name(), kManifestAttribute, id, manifest.id);
}

}  // namespace

std::string to_text(const Manifest& manifest) {
  json splits = json::array();
  for (const Split& split : manifest.splits) splits.push_back(split_json(split));
  std::vector<std::string> files;
  for (const auto& file : manifest.files) files.push_back(file.string());
  return dump({{"files", files},
               {"splits", splits},
               {"text", manifest.text},
               {"id", manifest.id},
               {"hashes", manifest.hashes.string()},
               {"follow", static_cast<int>(manifest.follow)}});
}

Manifest manifest_from_text(const std::string& text) {
  const json all = json::parse(text);
  Manifest manifest;
  for (const json& file : all.at("files")) manifest.files.emplace_back(file.get<std::string>());
  manifest.text = all.at("text");
  for (const json& j : all.at("splits")) manifest.splits.push_back(split_from(j));
  manifest.id = all.at("id");
  manifest.hashes = all.at("hashes").get<std::string>();
  manifest.follow = static_cast<Follow>(all.at("follow").get<int>());
  return manifest;
}

void give_reference(Manifest& manifest) {
  const Split* train = manifest.find("train");
  const Split source = train == nullptr ? manifest.splits.front() : *train;
  for (Split& split : manifest.splits)
    for (Field& f : split.fields) {
      if (f.reference.known) continue;
      if (const Field* known = source.find(f.name)) f.reference = known->figures;
    }
}

void apply_own_manifest(Manifest& manifest) {
  const std::string file = manifest.name();
  try {
    take_told(json::parse(manifest.text), manifest);
  } catch (const json::exception& error) {
    throw DataError("{}: attribute {} is not a manifest ({}); import the file again", file,
                    kManifestAttribute, error.what());
  }
}

}  // namespace lockstep::data
