// Writes a dataset file: splits of fields with common chunk rows, and the manifest attribute. Under
// a temporary name until finish(). Knows no source format, and no other rank: chunks come packed.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hdf5.h"
#include "lockstep/core/hash.h"
#include "lockstep/data/dataset.h"
#include "lockstep/data/import.h"
#include "lockstep/data/versions.h"
#include "packed_chunk.h"
#include "statistics.h"

namespace lockstep::data {

struct Column {
  std::string name;
  DType dtype = DType::kF32;
  Shape sample;
};

// How a split is cut into chunks: the same on every rank.
struct SplitPlan {
  static constexpr std::int64_t kGrows = -1;  // for as many samples as come
  std::string name;
  std::int64_t samples = 0;
  std::int64_t chunk = 1;  // samples of a chunk, in all fields
  std::vector<Column> columns;
  std::vector<ChunkForm> forms;  // of the columns

  SplitPlan(std::string name, std::int64_t samples, std::vector<Column> columns,
            const ImportOptions& options);
  std::int64_t chunks() const { return (samples + chunk - 1) / chunk; }
  std::int64_t bytes() const;  // of a chunk of every field
};

// A split being written.
class SplitWriter {
 public:
  // In `file`, as group `plan.name`.
  SplitWriter(hid_t file, std::filesystem::path path, SplitPlan plan);
  ~SplitWriter();
  SplitWriter(const SplitWriter&) = delete;
  SplitWriter& operator=(const SplitWriter&) = delete;

  // A field's chunks come in order.
  void write(const PackedChunk& chunk);
  // Many samples of a split of one column that grows.
  void append_rows(const std::byte* rows, std::int64_t count);
  void flush();  // after the last of them

  const std::string& name() const { return plan_.name; }
  std::int64_t samples() const;
  std::int64_t chunk() const { return plan_.chunk; }
  const std::vector<Column>& columns() const { return plan_.columns; }
  const Statistics& statistics(std::size_t column) const { return fields_[column].statistics; }
  // Of the rows of each chunk, as versions.h has it.
  const std::vector<Hash128>& hashes(std::size_t column) const { return fields_[column].hashes; }

 private:
  struct FieldState {
    Handle dataset;
    Statistics statistics;
    std::vector<Hash128> hashes;
  };
  Handle make_dataset(hid_t group, std::size_t column) const;
  bool grow(const FieldState& field, const ChunkForm& form, std::int64_t rows) const;
  [[noreturn]] void fail(const std::string& reason) const;

  std::filesystem::path path_;
  SplitPlan plan_;
  std::vector<FieldState> fields_;
  std::vector<std::byte> waiting_;  // rows of a growing split, less than a chunk
};

class DatasetWriter {
 public:
  // Throws UserError if options.out exists and may not be replaced.
  static void check_name(const ImportOptions& options);
  // Throws as check_name() does, and if another import writes this name at the moment.
  explicit DatasetWriter(const ImportOptions& options);
  ~DatasetWriter();  // removes what was not finished
  DatasetWriter(const DatasetWriter&) = delete;
  DatasetWriter& operator=(const DatasetWriter&) = delete;

  SplitWriter& add_split(const SplitPlan& plan);
  const std::vector<std::unique_ptr<SplitWriter>>& splits() const { return splits_; }
  // A dataset of plain bytes in the root, which is no field.
  void add_bytes(const std::string& name, const std::string& bytes);
  // Writes the manifest and the hashes by their datasets, flushes to the disk and gives the file its
  // name.
  void finish(const std::string& manifest, const std::map<std::string, UnitHashes>& hashes);

 private:
  void claim();
  [[noreturn]] void fail(const std::string& what, const std::string& reason) const;

  std::filesystem::path out_, temporary_;
  int claim_ = -1;  // a lock on the temporary file: gone with the process, however it ends
  Handle file_;
  std::vector<std::unique_ptr<SplitWriter>> splits_;
};

}  // namespace lockstep::data
