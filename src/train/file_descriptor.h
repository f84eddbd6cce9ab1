// An open file that closes itself. Knows nothing of what is in it.
#pragma once
#include <filesystem>

namespace lockstep::train {

class FileDescriptor {
 public:
  FileDescriptor(const std::filesystem::path& path, int flags);  // throws UserError naming the path
  ~FileDescriptor();
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace lockstep::train
