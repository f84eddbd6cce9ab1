// The fields that a description names, in the files of a split: which datasets they are made of, in
// which order. Knows no splits and no rows.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "links.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

// The files of a manifest as they are found: those that were named, then those that links led to.
class FileTable {
 public:
  std::int32_t number(const std::filesystem::path& file);
  std::vector<std::filesystem::path> take() { return std::move(files_); }
  const std::filesystem::path& at(std::int32_t number) const {
    return files_[static_cast<std::size_t>(number)];
  }

 private:
  std::vector<std::filesystem::path> files_;
  std::unordered_map<std::string, std::int32_t> numbers_;
};

// All fields have the same number of samples, in every file: a field of layout kSample stands for
// all samples that the others have beside it. `group` takes the place of "{split}". Looks into all
// files, but for fields of layout kSample without "*", of which it looks into the first only.
// Throws UserError for a path that is not there, DataError naming the file that differs from the
// first.
std::vector<Field> gather_fields(const std::vector<FieldDescription>& described,
                                 const std::vector<std::int32_t>& files, const std::string& group,
                                 const Reach& reach, FileTable& table);

// But for the first where all are empty. Counts the samples.
void drop_empty_pieces(Field& field);

}  // namespace lockstep::data
