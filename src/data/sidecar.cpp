#include "sidecar.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "hash_store.h"
#include "links.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/log.h"
#include "lockstep/data/probe.h"
#include "manifest_json.h"
#include "manifest_text.h"
#include "measure.h"
#include "output_file.h"

namespace lockstep::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kSealAttribute = "lockstep_seal";
constexpr const char* kSealDataset = "lockstep_sealed_manifest";  // JSON of any length

struct Stamp {
  std::uint64_t bytes = 0;
  std::int64_t changed = 0;  // nanoseconds since 1970
  bool operator==(const Stamp&) const = default;
};

Stamp stamp_at(const fs::path& file) {
  struct stat facts {};
  if (::stat(file.c_str(), &facts) != 0) return {};
  return {static_cast<std::uint64_t>(facts.st_size),
          facts.st_mtim.tv_sec * std::int64_t{1'000'000'000} + facts.st_mtim.tv_nsec};
}

// As the sidecar names a file: from its own folder, so that both can be moved together.
std::string name_from(const fs::path& file, const fs::path& folder) {
  return fs::absolute(file).lexically_normal().lexically_relative(folder).string();
}

fs::path folder_of(const fs::path& file) {
  return fs::absolute(file).lexically_normal().parent_path();
}

struct Sealed {
  Manifest manifest;
  std::vector<Stamp> stamps;  // of its files
};

std::optional<Sealed> open_sealed(const fs::path& path) {
  const auto file = open_input(path);
  const std::string where = path.string();
  std::string text;
  {
    const Hdf5Lock lock;
    if (text_attribute(file->id(), kSealAttribute, where).empty()) return std::nullopt;
    const Handle dataset(H5Dopen2(file->id(), kSealDataset, H5P_DEFAULT), H5Dclose);
    const Handle type = native_type(DType::kU8);
    if (dataset) text.resize(H5Dget_storage_size(dataset.get()));
    if (!dataset ||
        H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.data()) < 0)
      throw DataError("{}: cannot read its manifest ({}); seal the data again", where,
                      hdf5_reason());
  }
  try {
    const json told = json::parse(text);
    if (told.at("format") != kManifestFormat)
      throw DataError("{} has manifest format {}, this program reads {}; seal the data again",
                      where, told.at("format").dump(), kManifestFormat);
    Sealed sealed{manifest_from_text(told.at("manifest").dump()), {}};
    for (fs::path& name : sealed.manifest.files)
      name = (path.parent_path() / name).lexically_normal();
    for (const json& stamp : told.at("stamps")) sealed.stamps.push_back({stamp.at(0), stamp.at(1)});
    sealed.manifest.hashes = path;
    if (sealed.stamps.size() != sealed.manifest.files.size() ||
        dataset_id(sealed.manifest) != sealed.manifest.id)
      throw DataError("{} is damaged: its hashes do not make its id; seal the data again", where);
    return sealed;
  } catch (const json::exception& error) {
    throw DataError("{} has no manifest that can be read ({}); seal the data again", where,
                    error.what());
  }
}

// "" or what is no longer as it was.
std::string stale_text(const Sealed& sealed) {
  for (std::size_t i = 0; i < sealed.stamps.size(); ++i) {
    const std::string name = sealed.manifest.files[i].string();
    const Stamp then = sealed.stamps[i], now = stamp_at(sealed.manifest.files[i]);
    if (now == Stamp()) return fmt::format("{} is not there", name);
    if (now.bytes != then.bytes)
      return fmt::format("{} has {} bytes, and had {} then", name, now.bytes, then.bytes);
    if (now.changed != then.changed) return fmt::format("{} was written to since then", name);
  }
  return {};
}

// The manifest's numbers of the files that the sidecar is for; -1 for one that it does not read.
std::vector<std::int32_t> numbers_of(const Manifest& sealed, const Manifest& manifest) {
  const auto whole = [](const fs::path& file) {
    return fs::absolute(file).lexically_normal().string();
  };
  std::map<std::string, std::int32_t> known;
  for (const fs::path& file : manifest.files)
    known.emplace(whole(file), static_cast<std::int32_t>(known.size()));
  std::vector<std::int32_t> numbers;
  for (const fs::path& file : sealed.files) {
    const auto found = known.find(whole(file));
    numbers.push_back(found == known.end() ? -1 : found->second);
  }
  return numbers;
}

bool same_pieces(const Field& sealed, const std::vector<std::int32_t>& numbers, const Field& g) {
  const auto same = [&](const Piece& p, const Piece& q) {
    return numbers[static_cast<std::size_t>(p.file)] == q.file && p.first == q.first &&
           p.samples == q.samples && p.path == q.path;
  };
  return sealed.dtype == g.dtype && sealed.sample == g.sample && sealed.layout == g.layout &&
         sealed.block == g.block &&
         std::equal(sealed.pieces.begin(), sealed.pieces.end(), g.pieces.begin(), g.pieces.end(),
                    same);
}

bool same_samples(const Split& a, const Split& b) {
  const Selection &s = a.selection, &t = b.selection;
  return a.samples == b.samples && s.of == t.of && s.seed == t.seed && s.begin == t.begin &&
         s.end == t.end;
}

// The sidecar's field of the same rows, of the same samples if there is one.
void adopt_field(const Sealed& sealed, const std::vector<std::int32_t>& numbers, const Split& split,
                 Field& field) {
  for (const Split& known : sealed.manifest.splits)
    for (const Field& f : known.fields) {
      if (!same_pieces(f, numbers, field)) continue;
      field.hash = f.hash, field.hashes = f.hashes;
      if (same_samples(known, split) && !field.figures.known) field.figures = f.figures;
    }
}

}  // namespace

std::optional<Manifest> read_sealed(const Description& description) {
  if (description.path.size() != 1 || !fs::is_regular_file(description.path.front()))
    return std::nullopt;
  const fs::path path = description.path.front();
  if (path.extension() != ".h5" && path.extension() != ".hdf5") return std::nullopt;
  probe(std::span(&path, 1), description.follow, description.probe);
  auto sealed = open_sealed(path);
  if (!sealed) return std::nullopt;
  if (!description.fields.empty() || !description.splits.empty())
    throw UserError(
        "{} says itself which fields and splits there are; leave [[data.fields]] and "
        "[[data.splits]] out, or name the data files in data.path",
        path.string());
  sealed->manifest.follow = description.follow;
  const Reach reach(description.follow, {path});
  for (const fs::path& file : sealed->manifest.files)
    reach.check(file, fmt::format("{}: its manifest", path.string()));
  if (const std::string stale = stale_text(*sealed); !stale.empty())
    throw DataError("{} was made for other files: {}; seal the data again", path.string(), stale);
  probe(sealed->manifest.files, description.follow, description.probe);
  return std::move(sealed->manifest);
}

void adopt_sidecar(Manifest& manifest) {
  const fs::path path = sidecar_of(manifest.files.front());
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return;
  std::string why;
  try {
    probe(std::span(&path, 1), Follow::kNone, Description().probe);
    const auto sealed = open_sealed(path);
    why = sealed ? stale_text(*sealed) : "it is no sidecar";
    if (why.empty()) {
      const auto numbers = numbers_of(sealed->manifest, manifest);
      for (Split& split : manifest.splits)
        for (Field& field : split.fields) adopt_field(*sealed, numbers, split, field);
      give_reference(manifest);
      manifest.hashes = path;
      manifest.id = dataset_id(manifest);
      const bool all =
          std::all_of(manifest.splits.begin(), manifest.splits.end(), [](const Split& split) {
            return std::all_of(split.fields.begin(), split.fields.end(),
                               [](const Field& f) { return !f.hashes.empty(); });
          });
      if (all) return;
      why = "not all of the data's fields are in it";
    }
  } catch (const Error& damaged) {
    why = damaged.what();
  }
  log::warn(
      "{} is not used, or not for all fields: {}; write it again with `lockstep inspect "
      "--seal {}`",
      path.string(), why, manifest.files.front().string());
}

std::string write_sidecar(comm::Communicator& communicator, const Description& description,
                          const fs::path& out, const Made& made) {
  Manifest manifest = read_manifest(communicator, description);
  if (!manifest.text.empty() && !manifest.id.empty())
    throw UserError("{} has hashes and an id already: {}", manifest.name(), manifest.id);
  std::vector<Stamp> stamps;  // before they are read: a change meanwhile makes the sidecar stale
  for (const fs::path& file : manifest.files) stamps.push_back(stamp_at(file));
  std::vector<std::pair<std::string, UnitHashes>> all;
  for (Split& split : manifest.splits)
    for (Field& field : split.fields) {
      field.hash.clear(), field.hashes.clear();  // nothing is compared with what was known
      if (manifest.text.empty()) field.reference = {};
      communicator.set_activity("sealing the dataset", 0);
      Measured measured = measure_field(communicator, manifest, split, field, true);
      field.figures = std::move(measured.figures);
      field.hash = field_hash(measured.hashes);
      all.emplace_back(hashes_path(split.name, field.name), std::move(measured.hashes));
    }
  std::size_t n = 0;
  for (Split& split : manifest.splits)
    for (Field& field : split.fields) field.hashes = all[n++].first;
  give_reference(manifest);
  find_classes(manifest);
  manifest.id = dataset_id(manifest);
  communicator.together([&] {
    if (communicator.rank() != 0) return;
    Manifest named = manifest;
    for (fs::path& file : named.files) file = name_from(file, folder_of(out));
    named.text.clear(), named.hashes.clear();
    json list = json::array();
    for (const Stamp& stamp : stamps) list.push_back({stamp.bytes, stamp.changed});
    const json told{{"format", kManifestFormat},
                    {"manifest", json::parse(to_text(named))},
                    {"stamps", list},
                    {"made", {{"command", made.command}, {"version", made.version}}}};
    OutputFile file(out);
    file.add_text(kSealAttribute, manifest.id);
    file.add_bytes(kSealDataset, dump(told));
    for (const auto& [path, hashes] : all) file.add_hashes(path, hashes);
    file.finish();
  });
  return manifest.id;
}

}  // namespace lockstep::data
