#include "cache_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "lockstep/core/files.h"
#include "lockstep/core/units.h"

namespace lockstep::data {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kFillAt = 512;  // of the pool's fill, in the header's page
constexpr std::uint64_t kThere = 1;   // in a word; its place is a multiple of a record's line
constexpr std::size_t kLine = 64;
constexpr int kMagic = 0x32754c4c;  // "LLu2"

struct Header {
  int magic = kMagic;
  int header_bytes = sizeof(Header);
  std::int64_t entries = 0;
  Hash128 version;
  Hash128 check;  // of all before it
  Hash128 checked() const { return hash_bytes(this, offsetof(Header, check)); }
};

// How far the pool is used, and by whom last: who is killed between this and the entry's word
// leaves no place that nobody has, as the next one writes the word.
struct Fill {
  std::uint64_t end = 0;
  std::uint64_t begin = 0;  // of the last place; 0: none
  std::int64_t entry = 0;   // whose it is
};

[[noreturn]] void fail(const char* what, const fs::path& path, const char* why) {
  throw UserError("cannot {} the cache of the data {}: {}", what, path.string(), why);
}

// Several processes ask for a place one after another; a killed one gives the lock back.
class PlaceLock {
 public:
  explicit PlaceLock(int fd) : fd_(fd) {
    if (!set(F_WRLCK)) throw UserError("cannot lock it: {}", std::strerror(errno));
  }
  ~PlaceLock() { set(F_UNLCK); }
  PlaceLock(const PlaceLock&) = delete;
  PlaceLock& operator=(const PlaceLock&) = delete;

 private:
  bool set(short kind) const {
    struct flock lock {};
    lock.l_type = kind;
    lock.l_whence = SEEK_SET;
    lock.l_start = kFillAt;
    lock.l_len = sizeof(Fill);
    int code;
    do {
      code = ::fcntl(fd_, F_OFD_SETLKW, &lock);
    } while (code != 0 && errno == EINTR);
    return code == 0;
  }
  int fd_;
};

// All who use the file hold it shared; who makes or resizes it is alone with it for a moment.
bool hold(int fd, int how) {
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries; ++i) {
    if (::flock(fd, how | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK && errno != EINTR) return false;
    if (how == LOCK_EX) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// A file of ours alone: what anybody else could have written there is not to be read.
int open_ours(const fs::path& path, bool make) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0), 0666);
  if (fd < 0) fail("open", path, std::strerror(errno));
  struct stat facts {};
  const char* wrong = nullptr;
  if (::fstat(fd, &facts) != 0) {
    wrong = std::strerror(errno);
  } else if (!S_ISREG(facts.st_mode) || facts.st_uid != ::geteuid() || facts.st_nlink != 1) {
    wrong = "it is not a file of this user; remove it, or name another data.cache_dir";
  }
  if (wrong == nullptr) return fd;
  ::close(fd);
  fail("use", path, wrong);
}

}  // namespace

CacheFile::CacheFile(const fs::path& path, const Wanted& wanted, bool make)
    : path_(path), wanted_(wanted), fd_(open_ours(path, make)) {
  try {
    if (make && hold(fd_, LOCK_EX)) {
      if (!has_header()) start_afresh();
      resize(allowed());
    }
    if (!hold(fd_, LOCK_SH)) fail("lock", path_, std::strerror(errno));
    if (!has_header()) fail("use", path_, "it is damaged, and another run uses it");
    struct stat facts {};
    if (::fstat(fd_, &facts) != 0) fail("use", path_, std::strerror(errno));
    size_ = static_cast<std::size_t>(facts.st_size);
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

CacheFile::~CacheFile() { ::close(fd_); }

bool CacheFile::has_header() const {
  Header header;
  return read(0, sizeof header, reinterpret_cast<std::byte*>(&header)) && header.magic == kMagic &&
         header.header_bytes == static_cast<int>(sizeof header) &&
         header.check == header.checked() && header.version == wanted_.version &&
         header.entries == wanted_.entries;
}

// The header comes last: a file whose making was interrupted has none.
void CacheFile::start_afresh() {
  if (::ftruncate(fd_, 0) != 0) fail("empty", path_, std::strerror(errno));
  resize(pool_at());
  Header header;
  header.entries = wanted_.entries;
  header.version = wanted_.version;
  header.check = header.checked();
  write(0, reinterpret_cast<const std::byte*>(&header), sizeof header);
}

void CacheFile::resize(std::size_t bytes) {
  struct stat facts {};
  if (::fstat(fd_, &facts) != 0) fail("use", path_, std::strerror(errno));
  const auto now = static_cast<std::size_t>(facts.st_size);
  if (bytes <= now) {
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0)
      fail("shorten", path_, std::strerror(errno));
    forget_beyond(bytes);
    return;
  }
  int code;
  do {
    code = ::fallocate(fd_, 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  } while (code == EINTR);
  // A file system that cannot reserve says that it is full when a record is written.
  if (code == EOPNOTSUPP && ::ftruncate(fd_, static_cast<off_t>(bytes)) == 0) code = 0;
  if (code == 0) return;
  const int ignored = ::ftruncate(fd_, static_cast<off_t>(now));
  static_cast<void>(ignored);
  fail("reserve the space of", path_, std::strerror(code));
}

// The records that lie beyond, and the last one before, which may reach over the end.
void CacheFile::forget_beyond(std::size_t bytes) {
  if (used() <= bytes) return;
  std::vector<std::uint64_t> words(static_cast<std::size_t>(wanted_.entries));
  auto* const raw = reinterpret_cast<std::byte*>(words.data());
  const std::size_t size = words.size() * sizeof(words[0]);
  if (!read(word_at(0), size, raw)) fail("read", path_, std::strerror(errno));
  std::uint64_t end = pool_at();
  for (const std::uint64_t word : words)
    if (word < bytes) end = std::max(end, word / kLine * kLine);
  for (std::uint64_t& word : words)
    if (word >= end) word = 0;
  write(word_at(0), raw, size);
  const Fill fill{end, 0, 0};
  write(kFillAt, reinterpret_cast<const std::byte*>(&fill), sizeof fill);
}

// Bytes of the file, by what is asked for and what is free.
std::size_t CacheFile::allowed() {
  struct stat facts {};
  if (::fstat(fd_, &facts) != 0) fail("use", path_, std::strerror(errno));
  const auto now = static_cast<std::size_t>(facts.st_size);
  const std::size_t all = pool_at() + wanted_.records;
  const std::size_t free = free_bytes(path_.parent_path());
  if (wanted_.bytes == 0) return std::min(all, now + free / 2);
  const std::size_t asked = std::min(all, wanted_.bytes);
  if (asked <= now + free) return asked;
  smaller_ =
      fmt::format("{} has {} free for a cache of the data of {}", path_.parent_path().string(),
                  bytes_text(static_cast<double>(free)), bytes_text(static_cast<double>(asked)));
  return now + free / 2;
}

std::size_t CacheFile::pool_at() const {
  const std::size_t words = static_cast<std::size_t>(wanted_.entries) * sizeof(std::uint64_t);
  return kPage + (words + kPage - 1) / kPage * kPage;
}

std::uint64_t CacheFile::word_at(std::int64_t entry) const {
  return kPage + static_cast<std::uint64_t>(entry) * sizeof(std::uint64_t);
}

std::uint64_t CacheFile::used() const {
  Fill fill;
  read(kFillAt, sizeof fill, reinterpret_cast<std::byte*>(&fill));
  return std::max<std::uint64_t>(fill.end / kLine * kLine, pool_at());
}

void CacheFile::finish_last_place() {
  Fill fill;
  if (!read(kFillAt, sizeof fill, reinterpret_cast<std::byte*>(&fill))) return;
  if (fill.begin < pool_at() || fill.begin >= fill.end || fill.begin % kLine != 0) return;
  if (fill.entry < 0 || fill.entry >= wanted_.entries || word(fill.entry).at != 0) return;
  write(word_at(fill.entry), reinterpret_cast<const std::byte*>(&fill.begin), sizeof fill.begin);
}

CacheFile::Word CacheFile::word(std::int64_t entry) const {
  std::uint64_t bits = 0;
  if (!read(word_at(entry), sizeof bits, reinterpret_cast<std::byte*>(&bits))) return {};
  const std::uint64_t at = bits / kLine * kLine;
  if (at < pool_at() || at >= size_) return {};
  return {at, (bits & kThere) != 0};
}

CacheFile::Word CacheFile::take_place(std::int64_t entry, std::size_t record) {
  const std::scoped_lock mine(mutex_);
  const PlaceLock lock(fd_);
  finish_last_place();
  Word place = word(entry);
  if (place.at != 0 && place.at + record <= size_) return place;
  const std::uint64_t begin = used();
  const Fill fill{begin + record, begin, entry};
  if (fill.end > size_) return {};
  write(kFillAt, reinterpret_cast<const std::byte*>(&fill), sizeof fill);
  write(word_at(entry), reinterpret_cast<const std::byte*>(&begin), sizeof begin);
  return {begin, false};
}

void CacheFile::is_there(std::int64_t entry, std::uint64_t at) {
  const std::uint64_t bits = at | kThere;
  write(word_at(entry), reinterpret_cast<const std::byte*>(&bits), sizeof bits);
}

bool CacheFile::read(std::uint64_t at, std::size_t bytes, std::byte* to) const {
  const events::Detail span(events::Kind::kFile, "reading from the cache", {.bytes = bytes});
  while (bytes > 0) {
    const ssize_t n = ::pread(fd_, to, bytes, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    to += n;
    at += static_cast<std::uint64_t>(n);
    bytes -= static_cast<std::size_t>(n);
  }
  return true;
}

void CacheFile::write(std::uint64_t at, const std::byte* from, std::size_t bytes) {
  write_at(fd_, from, bytes, at, path_);
}

}  // namespace lockstep::data
