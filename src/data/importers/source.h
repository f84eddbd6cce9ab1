// What an importer reads: samples by their numbers, a row for each field. Importers know their
// format; what becomes of the samples (splits, chunks, statistics) is import.cpp's.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "../dataset_writer.h"
#include "lockstep/comm/communicator.h"
#include "progress.h"

namespace lockstep::data {

struct SourceField {
  Column column;
  std::string role;                       // "input", "target" or ""
  bool classes = false;                   // of numbers from 0
  std::vector<std::string> class_names;   // empty: classes are their numbers
  std::vector<std::string> column_names;  // of the elements: CSV, JSON lines
  std::string unit;
};

struct SourceDescription {
  std::vector<SourceField> fields;
  std::vector<std::string> left_out;  // columns of text
};

class Source {
 public:
  virtual ~Source() = default;
  virtual std::int64_t samples() const = 0;
  // `rows` ascend, from call to call mostly too; fields[f]: room for rows.size() samples of field
  // f. A missing number is NaN; of an integer field, missing[i] of its row is set. Throws DataError
  // naming file and row, line or member.
  virtual void read(std::span<const std::int64_t> rows, std::span<std::byte* const> fields,
                    std::span<std::uint8_t> missing) = 0;
  // Where a row is, for messages: "a.npy: row 17", "a.csv: line 18".
  virtual std::string place(std::int64_t row, std::size_t field) = 0;
};

struct Sources {
  SourceDescription description;
  std::unique_ptr<Source> train, test;  // test may be null
};

// All are collective: what every rank needs to know of a file is found once, or by all of them,
// each a part. The same on any number of ranks.
Sources open_idx(const ImportOptions& options);
Sources open_numpy(comm::Communicator& communicator, const ImportOptions& options);  // npy and npz
Sources open_raw(const ImportOptions& options);
Sources open_csv(comm::Communicator& communicator, const ImportOptions& options,
                 Progress& progress);
Sources open_json_lines(comm::Communicator& communicator, const ImportOptions& options,
                        Progress& progress);
Sources open_png(comm::Communicator& communicator, const ImportOptions& options);
Sources open_netcdf(const ImportOptions& options);

// The role of a field and whether it has classes, by the names that the options give. Throws
// UserError if a target of classes has a type that has none.
void settle_target(const ImportOptions& options, const std::string& file, SourceField& field);
// Throws DataError if the test split's fields are not those of the train split.
void require_same_fields(const std::vector<SourceField>& train, const std::string& train_file,
                         const std::vector<SourceField>& test, const std::string& test_file);

// Text has no samples until it is read: the whole import, on one rank.
void import_text(const ImportOptions& options, const std::function<void(double)>& progress);

}  // namespace lockstep::data
