#include "train/file_descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::train {

FileDescriptor::FileDescriptor(const std::filesystem::path& path, int flags)
    : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
  if (fd_ < 0) throw UserError("cannot open {}: {}", path.string(), std::strerror(errno));
}

FileDescriptor::~FileDescriptor() { ::close(fd_); }

void FileDescriptor::sync(const std::filesystem::path& path) const {
  // EINVAL: a file system that has nothing to flush.
  if (::fsync(fd_) != 0 && errno != EINVAL)
    throw UserError("cannot flush {}: {}", path.string(), std::strerror(errno));
}

void read_at(int fd, void* data, std::size_t bytes, std::uint64_t offset,
             const std::filesystem::path& path) {
  char* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::pread(fd, at, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      throw DataError("cannot read {} at byte {}: {}", path.string(), offset,
                      n == 0 ? "the file ends there; it is truncated" : std::strerror(errno));
    }
    at += n;
    offset += static_cast<std::uint64_t>(n);
    bytes -= static_cast<std::size_t>(n);
  }
}

}  // namespace lockstep::train
