// What a file that is being written will hold, as its manifest tells it: the splits of the writer,
// behind those of an older version whose chunks it shares. Knows no source format.
#pragma once
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "dataset_writer.h"
#include "lockstep/data/versions.h"

namespace lockstep::data {

struct Written {
  std::vector<Split> splits;  // as read_manifest() will find them; pieces of file 0 are its own
  std::map<std::string, UnitHashes> hashes;  // by dataset
  std::string id;
};
// old: null, or the version that this one is the next of; its files are numbered from 1.
Written what_is_written(const DatasetWriter& writer, const Manifest* old);

// Adds to a field of the manifest what is known of it in each split.
void tell_splits(const Written& written, const std::string& field, nlohmann::json& told);
// Format, id, splits, and the parent with its files, for a file in `folder`.
void tell_version(const Written& written, const Manifest* old, const std::filesystem::path& folder,
                  nlohmann::json& manifest);

}  // namespace lockstep::data
