// An open file that closes itself. Knows nothing of what is in it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace lockstep::train {

class FileDescriptor {
 public:
  FileDescriptor(const std::filesystem::path& path, int flags);  // throws UserError naming the path
  ~FileDescriptor();
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }
  void sync(const std::filesystem::path& path) const;  // to the disk; throws UserError naming path

 private:
  int fd_;
};

// pread of the whole range. DataError naming the path if the file ends before it does.
void read_at(int fd, void* data, std::size_t bytes, std::uint64_t offset,
             const std::filesystem::path& path);

}  // namespace lockstep::train
