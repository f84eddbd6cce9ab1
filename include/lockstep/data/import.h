// Importers: other formats to a dataset file (groups train, val, test; manifest with statistics).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace lockstep::data {

struct ImportOptions {
  std::string format;  // "idx", "csv" or "text"; "" guesses from the names
  // idx: images then labels (.gz allowed); csv: one file; text: any number, in this order
  std::vector<std::filesystem::path> train, test;
  std::vector<std::filesystem::path> val;  // text only
  std::filesystem::path out;
  // Of the training samples, chosen by seed, when no val is given; text: the end of each file.
  double val_fraction = 0.1;
  double test_fraction = 0;   // likewise when no test is given
  std::uint64_t seed = 1;
  std::int64_t chunk_bytes = 256 << 10;
  int deflate = 0;              // 0: not compressed; 1..9
  std::string target;           // csv: name of the target column (default: the last one)
  bool target_is_class = true;  // csv: integer classes (or names, sorted, numbered) or a number
  // text: "bytes", "bpe" (learnt from the train split) or the path of a SentencePiece model
  std::string tokenizer = "bytes";
  std::int64_t vocabulary = 4096;  // bpe: tokens
  bool overwrite = false;
};

// Writes options.out atomically (temporary name, fsync, rename). Streams; never the whole input in
// memory at once beyond what IDX and SentencePiece's training need. Throws DataError naming file and
// row (text: byte) for bad input.
void import_dataset(const ImportOptions& options,
                    const std::function<void(double fraction)>& progress);

// Text of `lockstep inspect FILE`: splits, fields, types, shapes, chunks, statistics.
std::string inspect_text(const std::filesystem::path& file);
// `--check`: reads everything; throws DataError at the first row that cannot be trusted.
void inspect_check(const std::filesystem::path& file);

}  // namespace lockstep::data
