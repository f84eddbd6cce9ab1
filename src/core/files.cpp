#include "lockstep/core/files.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "lockstep/core/error.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* what, const fs::path& path) {
  throw UserError("cannot {} {}: {}", what, path.string(), std::strerror(errno));
}

class File {
 public:
  File(const fs::path& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (fd_ < 0) fail("open", path);
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

void write_at(int fd, const void* data, std::size_t bytes, std::uint64_t offset,
              const fs::path& path) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::pwrite(fd, at, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write", path);
    at += n;
    offset += static_cast<std::uint64_t>(n);
    bytes -= static_cast<std::size_t>(n);
  }
}

void sync_file(const fs::path& path) {
  File file(path, O_RDONLY);
  if (::fsync(file.fd()) != 0 && errno != EINVAL) fail("flush", path);
}

void commit_file(const fs::path& temporary, const fs::path& final_path) {
  sync_file(temporary);
  if (::rename(temporary.c_str(), final_path.c_str()) != 0) fail("rename into place", final_path);
  const fs::path folder = final_path.parent_path();
  sync_file(folder.empty() ? fs::path(".") : folder);
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  fs::path temporary = path;
  temporary += ".tmp";
  try {
    File file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    write_at(file.fd(), text.data(), text.size(), 0, temporary);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  commit_file(temporary, path);
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (in && fs::is_directory(path)) {  // opens, and reads as nothing
    errno = EISDIR;
    in.setstate(std::ios::failbit);
  }
  if (!in) fail("read", path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::uint64_t free_bytes(const fs::path& folder) {
  struct statvfs info;
  if (::statvfs(folder.c_str(), &info) != 0) fail("ask the free space of", folder);
  return std::uint64_t{info.f_bavail} * info.f_frsize;
}

}  // namespace lockstep
