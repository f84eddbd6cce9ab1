// A dataset file: fields of [N, ...] per split, read by chunk. Only this component and
// train/checkpoint call HDF5. A process makes every HDF5 call under one mutex (hdf5_mutex()).
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/dtype.h"
#include "lockstep/core/shape.h"

namespace lockstep::data {

std::mutex& hdf5_mutex();

// What is known of one field of a split.
struct Field {
  std::string name;  // "image"
  std::string path;  // dataset path in the file, "/train/image"
  DType dtype = DType::kF32;
  Shape sample;            // shape of one sample; rank 0 for a scalar
  std::int64_t count = 0;  // N
  std::int64_t chunk = 0;  // samples per chunk (0: contiguous)
  std::string role;        // "input", "target", "tokens" (a stream of token numbers, one scalar a
                           // row), or "" where the file does not say
  // Statistics of the whole train split, from the manifest (absent: has_statistics false).
  bool has_statistics = false;
  double mean = 0, deviation = 1, minimum = 0, maximum = 0;
  std::int64_t classes = 0;  // integer scalar fields: max + 1; tokens: the vocabulary
  // Of a field that cut_sequences() made: sample i is rows [i * sequence + shift, (i + 1) * sequence
  // + shift) of a token stream. 0: a field as the file has it.
  std::int64_t sequence = 0, shift = 0;
  std::size_t sample_bytes() const {
    return static_cast<std::size_t>(sample.elements()) * size_of(dtype);
  }
};

struct Split {
  std::string name;  // "train", "val", "test"
  std::int64_t samples = 0;
  std::vector<Field> fields;
  const Field* find(const std::string& field) const;
};

// The structure of a dataset file. open() on rank 0, then broadcast (text form), so that one rank
// parses metadata.
struct Manifest {
  std::filesystem::path file;
  std::vector<Split> splits;
  std::string text;  // the file's own manifest, JSON; empty for a foreign file
  const Split* find(const std::string& split) const;
};

// The field of a split that a run file names; "" asks for the one that the file's manifest gives
// this role ("input" or "target") or, in a foreign file, the usual names. Throws UserError naming
// the fields that there are.
const Field& resolve_field(const Manifest& manifest, const std::string& split,
                           const std::string& name, const std::string& role);

// In each split, the field of role "tokens" becomes two of [N, sequence]: "tokens" (input) and
// "next_tokens" (target, the same one place on), N = floor((tokens - 1) / sequence). Throws
// UserError if a split has fewer than sequence + 1 tokens. Does nothing in a split without tokens.
void cut_sequences(Manifest& manifest, std::int64_t sequence);

// Opens read-only, POSIX driver, locking off. Throws UserError for a file that cannot be opened,
// DataError naming file and dataset for truncated or foreign files, fields of unequal N, unsupported
// types. Understands files written by
// `lockstep import`, and any HDF5 file that has groups of [N, ...] datasets (a group is a split;
// datasets in the root form the split "train"). Integer and IEEE float types of either byte order.
// Integer scalar fields of a foreign file are read once to find their classes.
Manifest read_manifest(const std::filesystem::path& file);
// Collective: rank 0 reads, the others are told; an error is thrown on all ranks.
Manifest read_manifest(comm::Communicator& communicator, const std::filesystem::path& file);

// A foreign file has no statistics: reads the field's train split (or the only split) once on rank
// 0 and gives them to this field in all splits, on all ranks. Does nothing if they are there.
// Collective.
void add_statistics(comm::Communicator& communicator, Manifest& manifest, const std::string& split,
                    const std::string& field);

}  // namespace lockstep::data
