// What makes a dataset the same dataset: a hash for each unit of rows, and one id over all.
// Hashes are XXH3-128 (xxhash.com) of a unit's decoded rows, little-endian as in memory, whatever
// the compression: a dataset that is packed again in the same chunks keeps its id.
//
//   field hash = XXH3-128 of its units' hashes, in order
//   id         = XXH3-128 of the text of splits and fields {split, samples, selection, field, type,
//                shape, field hash}, in order: the root of a Merkle tree of three levels
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/hash.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

using UnitHashes = std::vector<Hash128>;  // of a field of a split, by unit, all pieces

// Of a manifest whose fields all have hashes; "" otherwise.
std::string dataset_id(const Manifest& manifest);

// Splits, fields, types, shapes and numbers of samples: what two datasets without an id are
// compared by. One line.
std::string structure_text(const Manifest& manifest);

// Datasets of which damaged bytes would not be noticed: neither hashes nor a filter with a
// checksum.
// "" if there are none, else a sentence that names some of them and what to do.
std::string unchecked_text(const Manifest& manifest);

// Where the manifest of files that are not ours is kept: "a.h5" -> "a.h5.lockstep.h5". Found and
// used by read_manifest() where it lies beside the file, has the same structure and is of the
// files' sizes and times of change; ignored with a warning where it is not.
std::filesystem::path sidecar_of(const std::filesystem::path& file);
// Reads everything once, in parallel, and writes figures, hashes and id to `out` (temporary name,
// fsync, rename). `out` may then be named as data.path itself. Returns the id. Collective.
struct Made {
  std::string command, version;
};
std::string write_sidecar(comm::Communicator& communicator, const Description& description,
                          const std::filesystem::path& out, const Made& made);

}  // namespace lockstep::data
