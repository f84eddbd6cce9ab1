// The file system of a folder: every rank writes, flushes and reads a file that has no name.
#include "lockstep/core/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <vector>

#include "doctor/facts.h"
#include "lockstep/core/clock.h"

namespace lockstep::doctor {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPiece = 1 << 20, kPieces = 16;  // 16 MiB a rank

// Names of statfs's numbers, from linux/magic.h and the file systems' own sources.
std::string kind_of(std::uint64_t magic) {
  static const std::map<std::uint64_t, const char*> kKinds{
      {0xEF53, "ext4"},        {0x58465342, "xfs"},  {0x9123683E, "btrfs"},  {0x01021994, "tmpfs"},
      {0x794C7630, "overlay"}, {0x6969, "nfs"},      {0x0BD00BD0, "lustre"}, {0x47504653, "gpfs"},
      {0x19830326, "beegfs"},  {0x00C36400, "ceph"}, {0x65735546, "fuse"},   {0x2FC12FC1, "zfs"},
      {0xFE534D42, "smb"},     {0xFF534D42, "cifs"}};
  const auto found = kKinds.find(magic);
  return found != kKinds.end() ? found->second : fmt::format("type {:#x}", magic);
}

// A file that is gone when it is closed, whatever happens to this process.
int open_nameless(const fs::path& folder, int rank) {
  const int file = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return file;
  const fs::path path = folder / fmt::format(".lockstep-doctor-{}-{}.tmp", ::getpid(), rank);
  const int named = ::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (named >= 0) ::unlink(path.c_str());
  return named;
}

bool pieces(int file, std::vector<char>& buffer, bool write) {
  for (std::size_t i = 0; i < kPieces; ++i) {
    const auto at = static_cast<off_t>(i * kPiece);
    const ssize_t done = write ? ::pwrite(file, buffer.data(), kPiece, at)
                               : ::pread(file, buffer.data(), kPiece, at);
    if (done != static_cast<ssize_t>(kPiece)) {
      if (done >= 0) errno = ENOSPC;
      return false;
    }
  }
  return true;
}

void write_and_read(FileTimes& times, int file) {
  std::vector<char> buffer(kPiece, 1);
  double start = seconds_now();
  if (!pieces(file, buffer, true) || ::fsync(file) != 0) {
    times.write_failed = true;
    times.error = errno;
    return;
  }
  times.write = kPieces * kPiece / (seconds_now() - start);
  // Out of this node's cache, where the file system lets go of it.
  ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  start = seconds_now();
  if (!pieces(file, buffer, false)) {
    times.error = errno;
    return;
  }
  times.read = kPieces * kPiece / (seconds_now() - start);
  start = seconds_now();
  if (::pwrite(file, buffer.data(), 1, 0) == 1 && ::fsync(file) == 0)
    times.sync = seconds_now() - start;
}

// Whether the other ranks see the same folder: rank 0 makes a file there for a moment.
bool sees_file_of_rank_0(comm::Communicator& communicator, const fs::path& folder) {
  std::string name;
  int file = -1;
  if (communicator.rank() == 0) {
    name = (folder / fmt::format(".lockstep-doctor-{}.tmp", ::getpid())).string();
    file = ::open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0) name.clear();
  }
  const std::string shared = comm::broadcast_text(communicator, name);
  const bool seen = shared.empty() || ::access(shared.c_str(), F_OK) == 0;
  communicator.barrier();
  if (file >= 0) {
    ::close(file);
    ::unlink(name.c_str());
  }
  return seen;
}

}  // namespace

FileTimes time_files(comm::Communicator& communicator, const std::string& folder) {
  FileTimes times;
  struct statfs info = {};
  if (::statfs(folder.c_str(), &info) == 0) {
    times.kind.set(kind_of(static_cast<std::uint64_t>(info.f_type)));
    times.free =
        static_cast<std::uint64_t>(info.f_bavail) * static_cast<std::uint64_t>(info.f_bsize);
  }
  const int file = open_nameless(folder, communicator.rank());
  if (file < 0) {
    times.write_failed = true;
    times.error = errno;
  }
  communicator.barrier();
  if (file >= 0) {
    write_and_read(times, file);
    ::close(file);
  }
  times.sees_others = sees_file_of_rank_0(communicator, folder);
  return times;
}

}  // namespace lockstep::doctor
