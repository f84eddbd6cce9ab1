// A small HDF5 file that is whole or absent: attributes of text, datasets of bytes, hashes. Knows
// no fields.
#pragma once
#include <filesystem>
#include <string>

#include "hdf5.h"
#include "lockstep/data/versions.h"

namespace lockstep::data {

class OutputFile {
 public:
  // Under a temporary name in the same folder. All throw UserError naming the file.
  explicit OutputFile(std::filesystem::path path);
  ~OutputFile();  // removes what was not finished
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void add_text(const char* attribute, const std::string& text);
  void add_bytes(const char* dataset, const std::string& bytes);
  void add_hashes(const std::string& dataset, const UnitHashes& hashes);
  void finish();  // fsync, rename

 private:
  [[noreturn]] void fail(const std::string& reason) const;
  std::filesystem::path path_, temporary_;
  Handle file_;
};

}  // namespace lockstep::data
