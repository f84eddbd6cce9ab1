// Bytes of a plain or gzip file, in order. Knows no format.
#pragma once
#include <zlib.h>

#include <cstddef>
#include <filesystem>
#include <string>

namespace lockstep::data {

class ByteSource {
 public:
  explicit ByteSource(const std::filesystem::path& path);  // throws UserError
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  // As many of `bytes` as there are. Throws DataError if a gzip stream is damaged or cut short.
  std::size_t read(void* out, std::size_t bytes);
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
  gzFile file_;  // zlib passes plain files through
};

}  // namespace lockstep::data
