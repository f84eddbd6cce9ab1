// The first passes over CSV files: where records begin, which columns are numbers, what the
// target's classes are: the plan by which records become samples.
#pragma once
#include <memory>

#include "cells.h"
#include "csv_reader.h"

namespace lockstep::data {

struct CsvFile {
  std::filesystem::path path;
  std::shared_ptr<PositionedBytes> bytes;
  std::shared_ptr<const RecordIndex> index;
};

struct CsvPlan {
  char separator = ',';
  std::vector<CsvFile> files;  // train, and test if it is given
  std::vector<std::string> header;
  std::vector<std::size_t> features;  // columns
  std::size_t target = 0;             // column
  Labels labels;
  std::vector<std::string> left_out;
};

// Reads all files to the end, each rank a part. Throws DataError naming file, line and column.
// Collective.
CsvPlan survey_csv(comm::Communicator& communicator,
                   const std::vector<std::filesystem::path>& files, const ImportOptions& options,
                   Progress& progress);

}  // namespace lockstep::data
