#include "written.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hash_store.h"
#include "manifest_json.h"
#include "manifest_text.h"
#include "statistics.h"

namespace lockstep::data {
namespace {

using nlohmann::json;

Split split_of(const SplitWriter& writer, std::map<std::string, UnitHashes>& hashes) {
  Split split;
  split.name = writer.name();
  split.samples = writer.samples();
  for (std::size_t c = 0; c < writer.columns().size(); ++c) {
    const Column& column = writer.columns()[c];
    Field field;
    field.name = column.name;
    field.path = "/" + split.name + "/" + column.name;
    field.pieces = {{0, field.path, 0, split.samples}};
    field.dtype = column.dtype;
    field.sample = column.sample;
    field.count = split.samples;
    field.chunk = writer.chunk();
    field.figures = writer.statistics(c).figures();
    field.hashes = hashes_path(split.name, column.name);
    hashes[field.hashes] = writer.hashes(c);
    split.fields.push_back(std::move(field));
  }
  // As HDF5 lists them.
  std::sort(split.fields.begin(), split.fields.end(),
            [](const Field& a, const Field& b) { return a.name < b.name; });
  return split;
}

// The samples of `more`, which may be none, behind those of the older version.
Split behind(const Manifest& old, const Split& first, const Split* more,
             std::map<std::string, UnitHashes>& hashes) {
  Split split = first;
  for (Field& field : split.fields) {
    for (Piece& piece : field.pieces) ++piece.file;
    UnitHashes all = read_hashes(old, field);
    field.hashes = hashes_path(split.name, field.name);
    if (const Field* its = more == nullptr ? nullptr : more->find(field.name)) {
      field.pieces.push_back(its->pieces.front());
      field.count += its->count;
      field.figures = merged(field.figures, its->figures);
      const UnitHashes& later = hashes.at(field.hashes);
      all.insert(all.end(), later.begin(), later.end());
    }
    hashes[field.hashes] = std::move(all);
  }
  split.samples += more == nullptr ? 0 : more->samples;
  return split;
}

int place(const Split& split) {
  return split.name == "train" ? 0 : split.name == "val" ? 1 : split.name == "test" ? 2 : 3;
}

}  // namespace

Written what_is_written(const DatasetWriter& writer, const Manifest* old) {
  Written written;
  for (const auto& split : writer.splits())
    written.splits.push_back(split_of(*split, written.hashes));
  if (old != nullptr) {
    const std::vector<Split> own = std::move(written.splits);
    written.splits.clear();
    const auto find = [](const std::vector<Split>& splits, const std::string& name) {
      const auto found = std::find_if(splits.begin(), splits.end(),
                                      [&](const Split& s) { return s.name == name; });
      return found == splits.end() ? nullptr : &*found;
    };
    for (const Split& first : old->splits)
      written.splits.push_back(behind(*old, first, find(own, first.name), written.hashes));
    for (const Split& split : own)
      if (find(old->splits, split.name) == nullptr) written.splits.push_back(split);
  }
  std::stable_sort(written.splits.begin(), written.splits.end(),
                   [](const Split& a, const Split& b) { return place(a) < place(b); });
  for (Split& split : written.splits)
    for (Field& field : split.fields) field.hash = field_hash(written.hashes.at(field.hashes));
  Manifest manifest;
  manifest.splits = written.splits;
  written.id = dataset_id(manifest);
  return written;
}

void tell_splits(const Written& written, const std::string& name, json& told) {
  for (const Split& split : written.splits) {
    const Field* field = split.find(name);
    if (field == nullptr) continue;
    Figures figures = field->figures;
    if (told.value("role", "") == "tokens") figures.classes.clear();  // a number for each token
    told["splits"][split.name] = {{"hash", field->hash}, {"figures", figures_json(figures)}};
  }
}

void tell_version(const Written& written, const Manifest* old, const std::filesystem::path& folder,
                  json& manifest) {
  json samples;
  for (const Split& split : written.splits) samples[split.name] = split.samples;
  manifest["format"] = kManifestFormat;
  manifest["id"] = written.id;
  manifest["splits"] = samples;
  if (old == nullptr) return;
  manifest["parent"] = old->id;
  json files = json::array(), shared = json::array();
  for (const auto& file : old->files)
    files.push_back(
        {{"path",
          std::filesystem::absolute(file).lexically_normal().lexically_relative(folder).string()},
         {"bytes", std::filesystem::file_size(file)}});
  for (Split split : written.splits) {
    // What the manifest's fields tell is told there.
    for (Field& field : split.fields) field.figures = field.reference = {}, field.hash.clear();
    shared.push_back(split_json(split));
  }
  manifest["files"] = files;
  manifest["shared"] = shared;
}

}  // namespace lockstep::data
