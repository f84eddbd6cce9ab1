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

}  // namespace lockstep::train
