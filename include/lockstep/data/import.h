// Importers: other formats to a dataset file (groups train, val, test; manifest with statistics).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/data/description.h"

namespace lockstep::data {

struct ImportOptions {
  // "idx", "csv" (and "tsv"), "npy", "npz", "png", "netcdf", "jsonl", "raw" or "text"; "" guesses
  // from the names
  std::string format;
  // idx: images then labels; npy: samples, then targets if there are any; csv, npz, jsonl: one file;
  // png: one folder; raw, netcdf, text: any number, in this order. .gz is read too, but for npz,
  // png and netcdf.
  std::vector<std::filesystem::path> train, test;
  std::vector<std::filesystem::path> val;  // text only
  std::filesystem::path out;
  // Of the training samples, chosen by seed, when no val is given; text: the end of each file.
  double val_fraction = 0.1;
  double test_fraction = 0;   // likewise when no test is given
  std::uint64_t seed = 1;
  std::int64_t chunk_bytes = 256 << 10;
  int deflate = 0;              // 0: not compressed; 1..9
  // Names of columns, members, variables, keys or fields. Inputs: "" for all columns and keys of
  // numbers, the usual members. Target: csv: the last column; npz, jsonl, raw: one of a usual name
  std::vector<std::string> inputs;
  std::string target;
  bool target_is_class = true;  // integer classes (or names, sorted, numbered) or a number
  std::string missing = "error";           // what becomes of missing numbers: drop, mean, a number
  std::vector<std::string> missing_cells;  // csv, jsonl: texts that say so; empty: the usual ones
  std::string separator;                   // csv: one character; "": found in the header
  std::string type;            // raw: of the elements; jsonl: of the numbers (f32)
  std::string shape;           // raw: of a sample, "3,32,32"; "": a number a sample
  std::string record;          // raw: fields of a record, "label:u8 image:u8:3x32x32"
  std::string order = "little";  // raw: of the bytes of a number, or "big"
  std::int64_t skip = 0;         // raw: bytes before the first sample of each file
  bool drop_alpha = false;       // png: or else transparent pixels are refused
  // text: "bytes", "bpe" (learnt from the train split) or the path of a SentencePiece model
  std::string tokenizer = "bytes";
  std::int64_t vocabulary = 4096;  // bpe: tokens
  bool overwrite = false;
  std::filesystem::path append;  // a dataset whose next version `out` is; "": a dataset of its own
  std::string command, version;  // of this program, for the manifest
};

// Writes options.out atomically (temporary name, fsync, rename). All ranks read, convert and pack
// chunks, each its own; the first writes them. The same file on any number of ranks. Streams: a rank
// holds about 32 MiB, or a few chunks if they are larger, and 3 bits a sample; the first one 4 bytes
// a sample while it deals them to splits. `progress` is told on the first rank. Throws
// DataError naming file and row (line, member, variable; text: byte) for bad input. Collective.
void import_dataset(comm::Communicator& communicator, const ImportOptions& options,
                    const std::function<void(double fraction)>& progress);
void import_dataset(const ImportOptions& options,  // by this process alone
                    const std::function<void(double fraction)>& progress);
// The format that is read, by its name or by those of the files. Throws UserError.
std::string import_format(const ImportOptions& options);

// Text of `lockstep inspect`: splits, fields, types, shapes, chunks, figures, id and how it was made;
// verbose: histograms and channels too.
std::string inspect_text(const Description& description, bool verbose);
std::string inspect_text(const std::filesystem::path& file);
// `--check`: reads everything, all ranks together; throws DataError at the first row that cannot be
// trusted. Returns what was compared with hashes, on all ranks. Collective.
std::string inspect_check(comm::Communicator& communicator, const Description& description);
void inspect_check(const std::filesystem::path& file);

}  // namespace lockstep::data
