// Where hashes of units lie in an HDF5 file: /lockstep_hashes/<split>/<field>, u64 [units, 2], each
// row a Hash128's low half and its high half. Knows no rows.
#pragma once
#include <filesystem>
#include <string>

#include "hdf5.h"
#include "lockstep/data/versions.h"

namespace lockstep::data {

inline constexpr const char* kHashesGroup = "lockstep_hashes";  // in the root; no split

std::string hashes_path(const std::string& split, const std::string& field);

// XXH3-128 of the hashes in order, as text: a field's hash.
std::string field_hash(const UnitHashes& hashes);

// The caller holds the lock. False if HDF5 fails.
bool write_hashes(hid_t file, const std::string& dataset, const UnitHashes& hashes);

// The hashes of a field of this manifest. Takes the lock. Throws DataError naming file and dataset
// if they are not there, or not those that the field's own hash was made of.
UnitHashes read_hashes(const Manifest& manifest, const Field& field);

}  // namespace lockstep::data
