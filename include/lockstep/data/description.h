// What a run file says of a dataset in other people's files: which HDF5 datasets form which field,
// which files form which split, and what is done to a field's samples. Knows no HDF5.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/core/shape.h"
#include "lockstep/data/transform.h"

namespace lockstep::data {

// How the samples of a field lie in an HDF5 dataset.
enum class Layout : std::uint8_t {
  kRows,    // [n, sample...]: n samples
  kSample,  // [sample...]: one sample
  kBlocks,  // [extents..., rest...]: as many samples of [block..., rest...] as blocks fit, in
            // row-major order of blocks; the extents must be multiples of the block's
};

// Which files a path in a data file may lead to: external links, sources of virtual datasets,
// external storage, the other files of a version.
enum class Follow : std::uint8_t {
  kNone,    // none
  kFolder,  // those in the folder of a file that the user named, and below
  kAny
};

struct FieldDescription {
  std::string name;  // "image"
  // HDF5 path, "/climate/data". A component "*" stands for any name: each match is a piece of the
  // field, in the order of names ("/samples/*/image": one group a sample). "{split}" stands for
  // SplitDescription::group.
  std::string path;
  Layout layout = Layout::kRows;
  std::vector<std::int64_t> block;  // kBlocks
  std::string role;                 // "input", "target", "tokens" or ""
  std::string unit;                 // "K", told by inspect
  Transform transform;
};

struct SplitDescription {
  std::string name;                // "train"
  std::vector<std::string> files;  // names or globs; empty: all of Description::path
  std::string group;               // for "{split}" in paths; "": name
  // > 0: this share of all samples, chosen by split_seed; splits without one share the rest. Not
  // together with files or group.
  double fraction = 0;
};

struct Description {
  std::vector<std::string> path;  // files or globs, in this order; a glob's in order of names
  std::vector<FieldDescription> fields;  // empty: as the file has them
  std::vector<SplitDescription> splits;  // empty: as the file has them
  std::uint64_t split_seed = 1;
  Follow follow = Follow::kFolder;
  // Seconds that another process may take to walk a file's metadata before this one opens it
  // (probe.h). 0: opened at once.
  double probe = 20;
};

}  // namespace lockstep::data
