// The first pass over CSV files: which columns are numbers, what the target's classes are, and the
// plan by which the second pass turns records into samples.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/data/import.h"

namespace lockstep::data {

// The number in a cell, blanks around it and a leading + allowed; false if there is none, if it is
// not finite or does not fit a float.
bool parse_number(std::string_view cell, float& value);
bool parse_integer(std::string_view cell, std::int64_t& value);

struct CsvPlan {
  std::vector<std::string> header;
  std::vector<std::size_t> features;  // columns
  std::size_t target = 0;             // column
  bool target_is_class = true;
  std::int64_t classes = 0;
  std::map<std::string, std::int32_t, std::less<>> class_of;  // empty: cells are class numbers
  std::vector<std::string> class_names;
  std::vector<std::string> left_out;
  std::map<std::string, std::int64_t> rows;  // by file
};

// Reads all files to the end. Throws DataError naming file, line and column.
CsvPlan survey_csv(const std::vector<std::filesystem::path>& files, const ImportOptions& options);

}  // namespace lockstep::data
