// What an importer reads: samples one after another, each a row per column. Importers know their
// format; what becomes of the samples (splits, chunks, statistics) is import.cpp's.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../dataset_writer.h"

namespace lockstep::data {

// What a source says of its columns: the first is the input, the second the target.
struct SourceDescription {
  std::vector<SplitWriter::Column> columns;
  bool target_is_class = true;
  std::vector<std::string> class_names;    // empty: classes are their numbers
  std::vector<std::string> feature_names;  // csv
  std::vector<std::string> left_out;       // csv: columns of text
};

class Source {
 public:
  virtual ~Source() = default;
  virtual std::int64_t samples() const = 0;
  // The next sample, one pointer per column, valid until the next call. Throws DataError.
  virtual const std::vector<const std::byte*>& next() = 0;
};

struct Sources {
  SourceDescription description;
  std::unique_ptr<Source> train, test;  // test may be null
};

Sources open_idx(const ImportOptions& options);
Sources open_csv(const ImportOptions& options);

// Text has no samples until it is read: the whole import.
void import_text(const ImportOptions& options, const std::function<void(double)>& progress);

}  // namespace lockstep::data
