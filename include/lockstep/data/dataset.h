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
#include "lockstep/data/description.h"

namespace lockstep::data {

std::mutex& hdf5_mutex();

// Samples of a field that lie together: all of one HDF5 dataset, or a part of it.
struct Piece {
  std::int32_t file = 0;   // in Manifest::files
  std::string path;        // of the HDF5 dataset, "/train/image"
  std::int64_t first = 0;  // Layout::kRows: the dataset's row of the first sample
  std::int64_t samples = 0;
};

// Figures of all elements of a field, of a split, as stored. Integers are counted as doubles.
struct Figures {
  bool known = false;
  std::int64_t count = 0;       // elements
  std::int64_t not_finite = 0;  // of them, and in none of the figures below
  double mean = 0, deviation = 1, minimum = 0, maximum = 0;
  // Elements in kParts equal parts of [low, high), which hold all. Their width is a power of two,
  // the smallest that does, and low a multiple of it: two histograms can be brought to the wider
  // width of both, and merged, without an error. Empty: not counted.
  static constexpr int kParts = 64;
  double low = 0, high = 0;
  std::vector<std::int64_t> histogram;
  std::vector<double> channel_mean, channel_deviation;  // of the last stored axis; may be empty
  std::vector<std::int64_t> classes;  // samples of each class, of integer scalars; may be empty
  bool operator==(const Figures&) const = default;
};

// What is known of one field of a split.
struct Field {
  std::string name;  // "image"
  std::string path;  // dataset path in the file, "/train/image"; of several pieces: their pattern
  std::vector<Piece> pieces;  // in order; together they have all samples. Never empty
  Layout layout = Layout::kRows;
  std::vector<std::int64_t> block;  // Layout::kBlocks
  Transform transform;
  std::string unit;  // "K"; "" where nothing says
  DType dtype = DType::kF32;
  Shape sample;            // shape of one sample as stored; rank 0 for a scalar
  std::int64_t count = 0;  // N
  std::int64_t chunk = 0;  // samples per chunk (0: contiguous)
  std::string role;        // "input", "target", "tokens" (a stream of token numbers, one scalar a
                           // row), or "" where the file does not say
  Figures figures;    // of this split
  Figures reference;  // of the train split: what samples of any split are normalised by
  std::int64_t classes = 0;  // integer scalar fields: max + 1; tokens: the vocabulary
  // Of a field that cut_sequences() made: sample i is rows [i * sequence + shift, (i + 1) *
  // sequence
  // + shift) of a token stream. 0: a field as the file has it.
  std::int64_t sequence = 0, shift = 0;
  std::string hash;    // of all units (versions.h), 32 hex digits; "" if unknown
  std::string hashes;  // where they are: a dataset in Manifest::hashes
  bool checksummed = false;  // by a filter, in every piece: damaged bytes are noticed without hashes
  // What normalisation subtracts and divides by, of values after the transform's log1p, scale and
  // offset: one number, or one for each channel. Empty: the statistics above tell it, or nothing.
  std::vector<double> centre, width;
  // What the model sees of a sample: after the transform.
  Shape seen() const { return transformed(sample, transform, name.c_str()); }
  std::size_t sample_bytes() const {  // as stored
    return static_cast<std::size_t>(sample.elements()) * size_of(dtype);
  }
};

// Some of the samples of a split's pieces: places [begin, end) of the permutation of all `of` by
// `seed`, in the order of the file.
struct Selection {
  std::int64_t of = 0;  // 0: all of them, no permutation
  std::uint64_t seed = 0;
  std::int64_t begin = 0, end = 0;
};

struct Split {
  std::string name;  // "train", "val", "test"
  std::int64_t samples = 0;
  Selection selection;
  std::vector<Field> fields;
  const Field* find(const std::string& field) const;
};

class StorageTable;

// The structure of a dataset file. open() on rank 0, then broadcast (text form), so that one rank
// parses metadata.
struct Manifest {
  std::vector<std::filesystem::path>
      files;  // the first is the one that was named, or the first of them
  std::vector<Split> splits;
  std::string text;  // the file's own manifest, JSON; empty for a foreign file
  std::string id;    // of this version of the dataset (versions.h), 32 hex digits; "" if unknown
  std::filesystem::path hashes;  // the file that has the fields' hashes; empty: none is known
  Follow follow = Follow::kFolder;
  // Where the bytes lie, for readers that then need no HDF5; null: they ask HDF5 themselves.
  std::shared_ptr<const StorageTable> storage;
  std::string name() const;  // for messages: "a.h5", "a.h5 and 41 other files"
  const Split* find(const std::string& split) const;
};

// The field of a split that a run file names; "" asks for the one that the file's manifest gives
// this role ("input" or "target") or, in a foreign file, the usual names. Throws UserError naming
// the fields that there are.
const Field& resolve_field(const Manifest& manifest, const std::string& split,
                           const std::string& name, const std::string& role);

// Throws UserError, in the run file's words, where the field's transform cannot be of such samples.
// normalise: what is in force for the field.
void check_transform(const Field& field, Normalise normalise);

// In each split, the field of role "tokens" becomes two of [N, sequence]: "tokens" (input) and
// "next_tokens" (target, the same one place on), N = floor((tokens - 1) / sequence). Throws
// UserError if a split has fewer than sequence + 1 tokens. Does nothing in a split without tokens.
void cut_sequences(Manifest& manifest, std::int64_t sequence);

// Opens read-only, POSIX driver, locking off. Throws UserError for a file that cannot be opened,
// DataError naming file and dataset for truncated or foreign files, fields of unequal N,
// unsupported types. Understands files written by `lockstep import`, and any HDF5 file that has
// groups of [N, ...] datasets (a group is a split; datasets in the root form the split "train").
// Integer and IEEE float types of either byte order. Integer scalar fields of a foreign file are
// read once to find their classes.
Manifest read_manifest(const Description& description);
Manifest read_manifest(const std::filesystem::path& file);  // with nothing else said
// Collective: rank 0 reads, the others are told; an error is thrown on all ranks.
Manifest read_manifest(comm::Communicator& communicator, const Description& description);

// A foreign file has no statistics: measures the field's `split`, each rank its part of the rows, and
// gives the figures to this field in all splits, on all ranks. Does nothing if they are there.
// Collective.
void add_statistics(comm::Communicator& communicator, Manifest& manifest, const std::string& split,
                    const std::string& field);

}  // namespace lockstep::data
