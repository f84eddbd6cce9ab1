#include "shared_window.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "lockstep/core/error.h"
#include "lockstep/core/units.h"
#include "mpi_communicator.h"

namespace lockstep::comm {
namespace {

std::int64_t limit_ = -1;

// An open file that closes itself.
class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

class FileWindow final : public SharedWindow {
 public:
  FileWindow(Pages pages, std::vector<std::int64_t> begin, std::vector<std::int64_t> bytes)
      : pages_(std::move(pages)), begin_(std::move(begin)), bytes_(std::move(bytes)) {}
  std::byte* part(int local_rank) const override { return pages_.data() + begin_[local_rank]; }
  std::size_t bytes(int local_rank) const override { return bytes_[local_rank]; }

 private:
  Pages pages_;
  std::vector<std::int64_t> begin_, bytes_;
};

std::int64_t free_shared_memory() {
  struct statvfs system {};
  if (::statvfs("/dev/shm", &system) != 0) return 0;
  const auto free =
      static_cast<std::int64_t>(system.f_bavail) * static_cast<std::int64_t>(system.f_frsize);
  return limit_ >= 0 ? std::min(free, limit_) : free;
}

// The error of posix_fallocate, or 0.
int reserve(int fd, std::span<const ByteRange> ranges) {
  int code = 0;
  for (const ByteRange& range : ranges) {
    if (range.begin == range.end) continue;
    do {
      code = ::posix_fallocate(fd, range.begin, range.end - range.begin);
    } while (code == EINTR);
    if (code != 0) break;
  }
  return code;
}

struct Offer {  // of local rank 0 to its peers
  std::array<char, 64> path{};
  std::uint64_t inode = 0;
  std::int64_t free = 0;
  int code = 0;
};

// A file without a name, which peers reach through /proc, leaves nothing behind whenever its ranks
// are killed; one with a name, for ranks that do not see each other there, could leave the name.
enum class Kind : std::uint8_t { kNameless, kNamed };

File create(Kind kind, std::int64_t bytes, std::int64_t reserved, Offer& offer) {
  static int count = 0;
  offer = {};
  offer.free = free_shared_memory();
  if (offer.free < reserved) {
    offer.code = ENOSPC;
    return File(-1);
  }
  // Containers may share /dev/shm and count their processes alike: the time tells them apart, and a
  // name that is there already is another's and left alone.
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  const std::string named = fmt::format("/dev/shm/lockstep.{}.{}.{}", ::getpid(), now, count++);
  const int flags = O_RDWR | O_CLOEXEC;
  File file(kind == Kind::kNamed ? ::open(named.c_str(), flags | O_CREAT | O_EXCL, 0600)
                                 : ::open("/dev/shm", flags | O_TMPFILE, 0600));
  struct stat facts {};
  if (file.fd() < 0) {
    offer.code = errno;
    return file;
  }
  const std::string path =
      kind == Kind::kNamed ? named : fmt::format("/proc/{}/fd/{}", ::getpid(), file.fd());
  path.copy(offer.path.data(), offer.path.size() - 1);
  if (::ftruncate(file.fd(), bytes) != 0 || ::fstat(file.fd(), &facts) != 0) offer.code = errno;
  offer.inode = facts.st_ino;
  return file;
}

File open_offered(const Offer& offer, int& code) {
  code = offer.code;
  if (code != 0) return File(-1);
  File file(::open(offer.path.data(), O_RDWR | O_CLOEXEC));
  struct stat facts {};
  if (file.fd() < 0 || ::fstat(file.fd(), &facts) != 0) {
    code = errno;
  } else if (facts.st_ino != offer.inode) {
    code = ESTALE;  // in this rank's container the same path is another process's
  }
  return file;
}

}  // namespace

void set_shared_memory_limit(std::int64_t bytes) { limit_ = bytes; }

Pages make_shared_pages(MpiCommunicator& communicator, std::int64_t bytes,
                        std::span<const ByteRange> mine, const std::string& purpose) {
  const int local = communicator.topology().local();
  std::int64_t own = 0, all = 0;
  for (const ByteRange& range : mine) own += range.end - range.begin;
  for (const std::int64_t reserved : communicator.node_gather(own)) all += reserved;
  const auto worst = [&](int code) {
    const auto codes = communicator.node_gather(code);
    return static_cast<int>(*std::max_element(codes.begin(), codes.end()));
  };
  Offer offer;
  const auto share = [&](Kind kind, int& code) {
    const File first = local == 0 ? create(kind, bytes, all, offer) : File(-1);
    communicator.node_broadcast(std::as_writable_bytes(std::span(&offer, 1)));
    File mapped = open_offered(offer, code);
    code = worst(code);
    if (kind == Kind::kNamed && first.fd() >= 0) ::unlink(offer.path.data());
    return mapped;
  };
  int code = 0;
  File file = share(Kind::kNameless, code);
  if (code != 0 && code != ENOSPC) file = share(Kind::kNamed, code);
  if (code == 0) code = worst(reserve(file.fd(), mine));
  if (code != 0) {
    throw UserError(
        "/dev/shm on {} cannot hold {}: {} ranks need {}, {} are free ({}). Make it larger "
        "(mount -o remount,size=... /dev/shm, or --shm-size for a container) or start fewer ranks "
        "here",
        communicator.host(), purpose, communicator.topology().local_ranks(),
        bytes_text(static_cast<double>(all)), bytes_text(static_cast<double>(offer.free)),
        std::strerror(code));
  }
  return Pages(file.fd(), static_cast<std::size_t>(bytes));
}

std::unique_ptr<SharedWindow> make_shared_window(MpiCommunicator& communicator, std::size_t bytes,
                                                 const std::string& purpose) {
  const int local = communicator.topology().local();
  const auto sizes = communicator.node_gather(static_cast<std::int64_t>(bytes));
  std::vector<std::int64_t> begin{0};
  for (const std::int64_t size : sizes) {
    begin.push_back(begin.back() +
                    static_cast<std::int64_t>(round_up(static_cast<std::size_t>(size), kPage)));
  }
  const ByteRange mine{begin[local], begin[local + 1]};
  return std::make_unique<FileWindow>(
      make_shared_pages(communicator, begin.back(), std::span(&mine, 1), purpose), begin, sizes);
}

}  // namespace lockstep::comm
