// Files for the tests of data: temporary folders, files made by h5py, plain bytes, IDX and gzip.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/core/error.h"

namespace lockstep::data::testing {

namespace fs = std::filesystem;

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// The folder that make_files.py filled, once per process.
const fs::path& h5py_files();

std::vector<std::byte> file_bytes(const fs::path& path);
void write_bytes(const fs::path& path, const void* data, std::size_t bytes);
void write_text(const fs::path& path, std::string_view text);
void flip_byte(const fs::path& path, std::uint64_t offset);
// The whole content of a .gz file.
std::vector<std::byte> gunzip(const fs::path& path);
void write_gzip(const fs::path& path, const std::vector<std::byte>& bytes);
// An IDX file: type code, extents, elements as big-endian bytes.
std::vector<std::byte> idx_bytes(int type, const std::vector<std::uint32_t>& extents,
                                 const std::vector<std::byte>& elements);

// The sentence of the Error that body throws, with the name of its kind before it; "" if none.
template <class Body>
std::string refusal(const Body& body) {
  try {
    body();
  } catch (const UserError& error) {
    return std::string("UserError: ") + error.what();
  } catch (const DataError& error) {
    return std::string("DataError: ") + error.what();
  }
  return {};
}
bool contains_all(const std::string& text, const std::vector<std::string>& parts);

}  // namespace lockstep::data::testing
