#include "files.h"

#include <stdlib.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

namespace lockstep::data::testing {

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "lockstep_data.XXXXXX").string();
  LOCKSTEP_CHECK(::mkdtemp(name.data()) != nullptr, "{}", name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

const fs::path& h5py_files() {
  static const TemporaryFolder folder;
  static const int code = std::system(
      ("/usr/bin/python3 '" LOCKSTEP_MAKE_FILES "' '" + folder.path().string() + "'").c_str());
  LOCKSTEP_CHECK(code == 0, "make_files.py failed; is python3-h5py installed?");
  return folder.path();
}

std::vector<std::byte> file_bytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  LOCKSTEP_CHECK(in.good(), "{}", path.string());
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  return {bytes, bytes + text.size()};
}

void write_bytes(const fs::path& path, const void* data, std::size_t bytes) {
  std::ofstream(path, std::ios::binary)
      .write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
}

void write_text(const fs::path& path, std::string_view text) {
  write_bytes(path, text.data(), text.size());
}

void flip_byte(const fs::path& path, std::uint64_t offset) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(offset));
  const char byte = static_cast<char>(file.get() ^ 0x55);
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(byte);
}

std::vector<std::byte> gunzip(const fs::path& path) {
  std::vector<std::byte> all;
  std::byte block[65536];
  gzFile file = gzopen(path.c_str(), "rb");
  for (int n; (n = gzread(file, block, sizeof block)) > 0;) all.insert(all.end(), block, block + n);
  gzclose(file);
  return all;
}

void write_gzip(const fs::path& path, const std::vector<std::byte>& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

std::vector<std::byte> idx_bytes(int type, const std::vector<std::uint32_t>& extents,
                                 const std::vector<std::byte>& elements) {
  std::vector<std::byte> all{std::byte{0}, std::byte{0}, static_cast<std::byte>(type),
                             static_cast<std::byte>(extents.size())};
  for (const std::uint32_t e : extents)
    for (int shift = 24; shift >= 0; shift -= 8) all.push_back(static_cast<std::byte>(e >> shift));
  all.insert(all.end(), elements.begin(), elements.end());
  return all;
}

bool contains_all(const std::string& text, const std::vector<std::string>& parts) {
  const bool all = std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
    return text.find(part) != std::string::npos;
  });
  if (!all) std::cerr << "not all parts are in: " << text << "\n";
  return all;
}

}  // namespace lockstep::data::testing
