// Writes a dataset file: splits of fields with common chunk rows, and the manifest attribute. Under
// a temporary name until finish(). Knows no source format.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "hdf5.h"
#include "lockstep/data/dataset.h"
#include "lockstep/data/import.h"
#include "statistics.h"

namespace lockstep::data {

// A split being written: samples are appended one by one, all fields at once.
class SplitWriter {
 public:
  struct Column {
    std::string name;
    DType dtype = DType::kF32;
    Shape sample;
  };
  // In `file`, as group `name`, for exactly `samples` samples; kGrows: for as many as come.
  static constexpr std::int64_t kGrows = -1;
  SplitWriter(hid_t file, std::filesystem::path path, std::string name, std::int64_t samples,
              const std::vector<Column>& columns, const ImportOptions& options);
  ~SplitWriter();
  SplitWriter(const SplitWriter&) = delete;
  SplitWriter& operator=(const SplitWriter&) = delete;

  // rows[i]: one sample of column i.
  void append(const std::vector<const std::byte*>& rows);
  // Many samples of a split of one column.
  void append_rows(const std::byte* rows, std::int64_t count);
  void flush();  // after the last sample

  const std::string& name() const { return name_; }
  std::int64_t samples() const { return samples_ == kGrows ? written_ + waiting_ : samples_; }
  const Statistics& statistics(std::size_t column) const { return fields_[column].statistics; }
  // How many samples each class has, for an integer scalar column.
  const std::vector<std::int64_t>& class_counts(std::size_t column) const {
    return fields_[column].class_counts;
  }

 private:
  struct FieldState {
    Column column;
    std::size_t row_bytes = 0;
    Handle dataset;
    std::vector<std::byte> rows;  // those that wait for their chunk to be full
    Statistics statistics;
    std::vector<std::int64_t> class_counts;
  };
  void write_waiting(FieldState& field);
  void count_classes(FieldState& field);
  [[noreturn]] void fail(const std::string& reason) const;

  std::filesystem::path path_;
  std::string name_;
  std::int64_t samples_ = 0, chunk_ = 1, written_ = 0, waiting_ = 0;
  std::vector<FieldState> fields_;
};

class DatasetWriter {
 public:
  // Throws UserError if options.out exists and may not be replaced.
  explicit DatasetWriter(const ImportOptions& options);
  ~DatasetWriter();  // removes what was not finished
  DatasetWriter(const DatasetWriter&) = delete;
  DatasetWriter& operator=(const DatasetWriter&) = delete;

  SplitWriter& add_split(const std::string& name, std::int64_t samples,
                         const std::vector<SplitWriter::Column>& columns);
  const std::vector<std::unique_ptr<SplitWriter>>& splits() const { return splits_; }
  // A dataset of plain bytes in the root, which is no field.
  void add_bytes(const std::string& name, const std::string& bytes);
  // Writes the manifest, flushes to the disk and gives the file its name.
  void finish(const std::string& manifest);

 private:
  ImportOptions options_;
  std::filesystem::path temporary_;
  Handle file_;
  std::vector<std::unique_ptr<SplitWriter>> splits_;
};

}  // namespace lockstep::data
