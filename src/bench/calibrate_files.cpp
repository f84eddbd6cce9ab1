// The file system of a folder, as checkpoints are written and data is read: large pieces, flushed;
// read back when the page cache has let go of them, where it does.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "bench/calibrate_parts.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"

namespace lockstep::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPiece = std::size_t{1} << 20;
constexpr std::size_t kLeast = 4, kMost = 256;  // pieces of a rank
constexpr int kOpenings = 50;

struct Found {
  double write = 0, read = 0;  // bytes/s of one rank
  double open = 0;             // seconds
  double cached = 0;           // part of what was read that was in memory after all
};

[[noreturn]] void refuse(const char* what, const fs::path& path) {
  throw UserError("cannot {} {}: {}; name another folder with --folder", what, path.string(),
                  std::strerror(errno));
}

class TrialFile {
 public:
  TrialFile(const fs::path& folder, int rank)
      : path_(folder / fmt::format(".lockstep-bench-{}-{}.tmp", ::getpid(), rank)),
        file_(::open(path_.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600)) {
    if (file_ < 0) refuse("write in", folder);
  }
  ~TrialFile() {
    ::close(file_);
    ::unlink(path_.c_str());
  }
  TrialFile(const TrialFile&) = delete;
  TrialFile& operator=(const TrialFile&) = delete;

  double write(double seconds) {
    buffer_.assign(kPiece, 1);
    const double start = seconds_now();
    while (pieces_ < kLeast || (pieces_ < kMost && seconds_now() - start < seconds)) {
      buffer_[0] = static_cast<char>(pieces_);
      if (::pwrite(file_, buffer_.data(), kPiece, static_cast<off_t>(pieces_ * kPiece)) !=
          static_cast<ssize_t>(kPiece))
        refuse("write", path_);
      ++pieces_;
    }
    if (::fsync(file_) != 0) refuse("flush", path_);
    return bytes() / (seconds_now() - start);
  }

  double read() {
    ::posix_fadvise(file_, 0, 0, POSIX_FADV_DONTNEED);
    cached_ = resident();
    const double start = seconds_now();
    for (std::size_t i = 0; i < pieces_; ++i) {
      if (::pread(file_, buffer_.data(), kPiece, static_cast<off_t>(i * kPiece)) !=
          static_cast<ssize_t>(kPiece))
        refuse("read", path_);
      if (buffer_[0] != static_cast<char>(i))
        throw DataError("{} does not hold what was written", path_.string());
    }
    return bytes() / (seconds_now() - start);
  }

  double open() const {
    std::vector<double> seconds;
    for (int i = 0; i < kOpenings; ++i) {
      const double start = seconds_now();
      const int file = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
      seconds.push_back(seconds_now() - start);
      if (file < 0) refuse("open", path_);
      ::close(file);
    }
    std::ranges::sort(seconds);
    return seconds[seconds.size() / 2];
  }
  double cached() const { return cached_; }

 private:
  double bytes() const { return static_cast<double>(pieces_ * kPiece); }

  double resident() const {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    void* const at = ::mmap(nullptr, pieces_ * kPiece, PROT_READ, MAP_SHARED, file_, 0);
    if (at == MAP_FAILED) return 0;
    std::vector<unsigned char> pages(pieces_ * kPiece / page);
    const bool known = ::mincore(at, pieces_ * kPiece, pages.data()) == 0;
    ::munmap(at, pieces_ * kPiece);
    const auto there = std::ranges::count_if(pages, [](unsigned char p) { return (p & 1) != 0; });
    return known ? static_cast<double>(there) / static_cast<double>(pages.size()) : 0;
  }

  fs::path path_;
  int file_;
  std::size_t pieces_ = 0;
  std::vector<char> buffer_;
  double cached_ = 0;
};

// Of all ranks, by position; those of other nodes than the first only if `all` work.
std::vector<Found> trial(comm::Communicator& communicator, const Request& request, bool all) {
  Found mine;
  communicator.together([&] {
    if (!all && communicator.topology().node() != 0) return;
    TrialFile file(request.folder, communicator.rank());
    mine.write = file.write(request.seconds);
    mine.read = file.read();
    mine.open = file.open();
    mine.cached = file.cached();
  });
  const std::vector<std::byte> bytes = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::vector<Found> found(bytes.size() / sizeof mine);
  std::memcpy(found.data(), bytes.data(), bytes.size());
  return found;
}

double sum(const std::vector<Found>& found, double Found::*what) {
  return std::accumulate(found.begin(), found.end(), 0.0,
                         [what](double all, const Found& one) { return all + one.*what; });
}

Row row_of(const std::string& name, std::vector<double> values, double Found::*what) {
  std::ranges::sort(values);
  const double median = values[values.size() / 2];
  Row row{"files", name, {}, "ok", 0, {}};
  if (what == &Found::open) {
    row.time = {median,
                values.front(),
                values.back(),
                (values.back() - values.front()) / median,
                static_cast<std::int64_t>(values.size()),
                kOpenings};
  } else {
    row.figures = {
        {"rate", "B/s", median}, {"least", "B/s", values.front()}, {"most", "B/s", values.back()}};
  }
  return row;
}

}  // namespace

// A rank's own clock tells when its file was written, not when all were: three times, the median.
void measure_files(comm::Communicator& communicator, const Request& request, Calibration& out) {
  constexpr int kTimes = 3;
  std::vector<double> writes, reads, opens, all_writes, all_reads;
  double cached = 0;
  const int nodes = communicator.topology().nodes();
  for (int i = 0; i < kTimes; ++i) {
    const std::vector<Found> one = trial(communicator, request, false);
    writes.push_back(sum(one, &Found::write));
    reads.push_back(sum(one, &Found::read));
    opens.push_back(one.front().open);
    cached = std::max(cached, one.front().cached);
    if (nodes == 1) continue;
    const std::vector<Found> every = trial(communicator, request, true);
    all_writes.push_back(sum(every, &Found::write));
    all_reads.push_back(sum(every, &Found::read));
  }
  plan::Files& files = out.machine.files;
  const auto add = [&out](const std::string& name, const std::vector<double>& values,
                          double Found::*what) {
    const Row row = row_of(name, values, what);
    out.results.rows.push_back(row);
    return row.figures.empty() ? row.time.median : row.figures.front().value;
  };
  files.write = add("written and flushed by a node", writes, &Found::write);
  files.read = add("read by a node", reads, &Found::read);
  files.latency = add("opened", opens, &Found::open);
  if (nodes > 1) {
    files.total_write = add("written by all nodes", all_writes, &Found::write);
    files.total_read = add("read by all nodes", all_reads, &Found::read);
    // Nodes that do not hold each other up have no limit in common that was seen.
    if (files.total_write > 0.9 * nodes * files.write) files.total_write = 0;
    if (files.total_read > 0.9 * nodes * files.read) files.total_read = 0;
  }
  if (cached > 0.01)
    out.results.notes.push_back(fmt::format(
        "files: {:.0f} % of what was read was still in memory, for this file system does not let "
        "go of it: the rate of reading is not the storage's",
        cached * 100));
}

}  // namespace lockstep::bench
