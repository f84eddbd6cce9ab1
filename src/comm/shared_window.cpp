#include "shared_window.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

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
  File(const File&) = delete;
  File& operator=(const File&) = delete;
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
  std::array<char, 64> name{};
  std::int64_t free = 0;
  int code = 0;
};

Offer create(std::int64_t bytes, std::int64_t reserved) {
  static int count = 0;
  Offer offer;
  offer.free = free_shared_memory();
  if (offer.free < reserved) {
    offer.code = ENOSPC;
    return offer;
  }
  // Containers may share /dev/shm and count their processes alike: the time tells them apart, and a
  // name that is there already is another's and left alone.
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  fmt::format_to_n(offer.name.data(), offer.name.size() - 1, "/lockstep.{}.{}.{}", ::getpid(), now,
                   count++);
  const File file(::shm_open(offer.name.data(), O_RDWR | O_CREAT | O_EXCL, 0600));
  if (file.fd() < 0) {
    offer.code = errno;
    offer.name[0] = '\0';
  } else if (::ftruncate(file.fd(), bytes) != 0) {
    offer.code = errno;
  }
  return offer;
}

}  // namespace

void set_shared_memory_limit(std::int64_t bytes) { limit_ = bytes; }

Pages make_shared_pages(MpiCommunicator& communicator, std::int64_t bytes,
                        std::span<const ByteRange> mine, const std::string& purpose) {
  const int local = communicator.topology().local();
  std::int64_t own = 0, all = 0;
  for (const ByteRange& range : mine) own += range.end - range.begin;
  for (const std::int64_t reserved : communicator.node_gather(own)) all += reserved;
  Offer offer;
  if (local == 0) offer = create(bytes, all);
  communicator.node_broadcast(std::as_writable_bytes(std::span(&offer, 1)));

  const auto worst = [&](int code) {
    const auto codes = communicator.node_gather(code);
    return static_cast<int>(*std::max_element(codes.begin(), codes.end()));
  };
  const File file(offer.code == 0 ? ::shm_open(offer.name.data(), O_RDWR, 0) : -1);
  int code = worst(offer.code != 0 ? offer.code : file.fd() < 0 ? errno : 0);
  if (local == 0 && offer.name[0] != '\0') ::shm_unlink(offer.name.data());
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
