#include <set>

#include "described_splits.h"
#include "file_list.h"
#include "found.h"
#include "lockstep/core/error.h"
#include "lockstep/data/dataset.h"
#include "lockstep/data/probe.h"
#include "manifest_text.h"
#include "measure.h"
#include "sidecar.h"
#include "stored_dataset.h"

namespace lockstep::data {
namespace {

// In a foreign file a split of one integer a row that is called "tokens" is a stream of them.
void find_streams(Manifest& manifest) {
  for (Split& split : manifest.splits) {
    Field& only = split.fields.front();
    if (split.fields.size() == 1 && only.name == "tokens" && !is_float(only.dtype) &&
        only.sample.rank() == 0)
      only.role = "tokens";
  }
}

// A field that `import` wrote must be there, in every split that it wrote.
void check_complete(const Manifest& manifest) {
  std::set<std::string> names;
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields) names.insert(field.name);
  for (const Split& split : manifest.splits)
    for (const std::string& name : names)
      if (split.find(name) == nullptr)
        throw DataError("{}: dataset /{}/{} is missing; import the file again", manifest.name(),
                        split.name, name);
}

void refuse_scattered_streams(const Manifest& manifest) {
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields)
      if (field.role == "tokens" && split.selection.of > 0)
        throw UserError(
            "split {} would take single tokens out of the text of field {}; split text by files or "
            "by group",
            split.name, field.name);
}

void read_as_found(const Description& description, Manifest& manifest, FileTable& table) {
  const auto named = expand_files(description.path, "data.path");
  probe(named, description.follow, description.probe);
  std::vector<std::int32_t> numbers;
  for (const auto& file : named) numbers.push_back(table.number(file));
  if (named.size() == 1) {
    const auto file = open_input(named.front());
    const Hdf5Lock lock;
    manifest.text = text_attribute(file->id(), kManifestAttribute, named.front().string());
  }
  manifest.splits = find_splits(numbers, Reach(description.follow, named), table);
}

}  // namespace

const Field* Split::find(const std::string& field) const {
  for (const Field& f : fields)
    if (f.name == field) return &f;
  return nullptr;
}

std::string Manifest::name() const {
  const std::string first = files.front().string();
  if (files.size() == 1) return first;
  return fmt::format("{} and {} other file{}", first, files.size() - 1,
                     files.size() == 2 ? "" : "s");
}

const Split* Manifest::find(const std::string& split) const {
  for (const Split& s : splits)
    if (s.name == split) return &s;
  return nullptr;
}

Manifest read_manifest(const Description& description) {
  if (auto sealed = read_sealed(description)) return std::move(*sealed);
  Manifest manifest;
  manifest.follow = description.follow;
  FileTable table;
  if (description.fields.empty() && description.splits.empty())
    read_as_found(description, manifest, table);
  else
    manifest.splits = read_described_splits(description, table);
  manifest.files = table.take();
  if (manifest.text.empty()) {
    find_streams(manifest);
    refuse_scattered_streams(manifest);
    adopt_sidecar(manifest);
    find_classes(manifest);
  } else {
    check_complete(manifest);
    apply_own_manifest(manifest);
    if (manifest.id.empty()) adopt_sidecar(manifest);
  }
  return manifest;
}

Manifest read_manifest(const std::filesystem::path& file) {
  Description description;
  description.path = {file.string()};
  return read_manifest(description);
}

Manifest read_manifest(comm::Communicator& communicator, const Description& description) {
  std::string text;
  communicator.together([&] {
    if (communicator.rank() == 0) text = to_text(read_manifest(description));
  });
  Manifest manifest = manifest_from_text(comm::broadcast_text(communicator, std::move(text)));
  manifest.storage = share_storage(communicator, manifest);
  return manifest;
}

}  // namespace lockstep::data
