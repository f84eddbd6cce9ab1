#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>

#include "stored_dataset.h"
#include "unit_cache.h"

namespace lockstep::data {
namespace {

// Whether a piece's rows lie in the file that the manifest names for it. Virtual datasets and
// external storage have no chunks and no way but HDF5's.
bool lies_in_its_file(const Manifest& manifest, const Piece& piece) {
  if (manifest.storage == nullptr) return false;
  const auto stored = manifest.storage->find(piece.file, piece.path);
  return stored && (stored->form->only_hdf5.empty() || !stored->form->chunk.empty());
}

}  // namespace

std::string version_of(const Manifest& manifest, const Split& split) {
  std::string text = fmt::format("split {}\n", split.name);
  if (!manifest.id.empty()) return text + "id " + manifest.id;
  for (const Field& field : split.fields)
    for (const Piece& piece : field.pieces)
      if (!lies_in_its_file(manifest, piece)) return {};
  for (const std::filesystem::path& file : manifest.files) {
    struct stat facts {};
    if (::stat(file.c_str(), &facts) != 0) continue;  // who opens it says so
    text +=
        fmt::format("file {} {} {} {}.{:09} {}.{:09}\n", std::filesystem::absolute(file).string(),
                    facts.st_ino, facts.st_size, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec,
                    facts.st_ctim.tv_sec, facts.st_ctim.tv_nsec);
  }
  return text;
}

}  // namespace lockstep::data
