#include "lockstep/data/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <tuple>
#include <vector>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/log.h"

namespace lockstep::data {
namespace {

namespace fs = std::filesystem;

// A walk waits for storage most of its time: several share many files, whatever the cores.
constexpr std::size_t kFilesPerWalk = 256;
constexpr std::size_t kMostWalks = 4;
constexpr double kBytesPerSecond = 1e9;
constexpr double kMostSeconds = 600;

// What tells that a file is the one that was walked.
using Stamp = std::tuple<dev_t, ino_t, off_t, time_t, long>;

struct State {
  std::mutex mutex;
  fs::path program;
  std::map<fs::path, Stamp> walked;
  bool warned = false;
};
State& state() {
  static State all;
  return all;
}

struct Target {
  fs::path path;
  Stamp stamp;
  double seconds = 0;
};

// Launchers speak to MPI libraries by these; the walk is no rank.
bool is_launchers(std::string_view variable) {
  for (const char* prefix : {"OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_", "MPI", "I_MPI_", "MV2_",
                             "HYDRA_", "FLUX_", "LOCKSTEP_"})
    if (variable.starts_with(prefix)) return true;
  return false;
}

const char* word_of(Follow follow) {
  return follow == Follow::kNone ? "none" : follow == Follow::kAny ? "any" : "folder";
}

// One process and the files that it walks, in their order.
class Walk {
 public:
  Walk(const fs::path& program, Follow follow, std::span<const Target> files) : files_(files) {
    const int names = ::memfd_create("lockstep names", MFD_CLOEXEC);
    int ends[2] = {-1, -1};
    if (names < 0 || !write_names(names) || ::pipe2(ends, O_CLOEXEC) != 0) {
      error_ = errno;
    } else {
      error_ = spawn(program, follow, names, ends[1]);
      pipe_ = ends[0];
      ::close(ends[1]);
    }
    if (names >= 0) ::close(names);
    begun_ = seconds_now();
  }
  ~Walk() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    if (pipe_ >= 0) ::close(pipe_);
  }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  int error() const { return error_; }  // 0: started
  bool running() const { return child_ > 0; }
  int pipe() const { return pipe_; }
  double seconds_left() const {
    const double limit = done_ < files_.size() ? files_[done_].seconds : kEnding;
    return begun_ + limit - seconds_now();
  }

  // To be called when the pipe has something to say. Throws DataError if the walk came to a bad
  // end.
  void listen() {
    char text[4096];
    const ssize_t bytes = ::read(pipe_, text, sizeof text);
    if (bytes < 0 && errno == EINTR) return;
    for (ssize_t i = 0; i < bytes; ++i) {
      if (text[i] == '\n') {
        end_of_line();
      } else if (line_.size() < 4096) {
        line_ += text[i];
      }
    }
    if (bytes <= 0) reap();
  }

  [[noreturn]] void time_is_over() const {
    fail(fmt::format("the walk did not end within {:.0f} s; if storage is slow, raise data.probe",
                     files_[std::min(done_, files_.size() - 1)].seconds));
  }

 private:
  static constexpr double kEnding = 10;  // of a process that has walked all of its files

  bool write_names(int file) const {
    std::string names;
    for (const Target& target : files_) {
      names += target.path.string();
      names += '\0';
    }
    for (std::size_t at = 0; at < names.size();) {
      const ssize_t n = ::write(file, names.data() + at, names.size() - at);
      if (n <= 0) return false;
      at += static_cast<std::size_t>(n);
    }
    return ::lseek(file, 0, SEEK_SET) == 0;
  }

  int spawn(const fs::path& program, Follow follow, int input, int output) {
    std::vector<char*> environment;
    for (char** variable = environ; *variable != nullptr; ++variable)
      if (!is_launchers(*variable)) environment.push_back(*variable);
    environment.push_back(nullptr);
    std::string words[] = {program.string(), "inspect",       "--probe",
                           "--follow",       word_of(follow), "-"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);

    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    // A group of its own: the terminal's Ctrl-C is for this process to answer.
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    pid_t child = 0;
    const int error = ::posix_spawn(&child, words[0].c_str(), &files, &attributes, arguments.data(),
                                    environment.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (error == 0) child_ = child;
    return error;
  }

  void end_of_line() {
    constexpr std::string_view kBad = "failed: ";
    if (line_.starts_with(kBad) && done_ < files_.size()) fail(line_.substr(kBad.size()));
    line_.clear();
    done_ = std::min(done_ + 1, files_.size());
    begun_ = seconds_now();
  }

  void reap() {
    int status = 0;
    while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
    }
    child_ = 0;
    if (done_ == files_.size()) return;
    if (WIFSIGNALED(status))
      fail(fmt::format("HDF5 crashed on it (signal {}, {})", WTERMSIG(status),
                       ::strsignal(WTERMSIG(status))));
    fail(fmt::format("the walk ended with code {}", WEXITSTATUS(status)));
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw DataError(
        "{}: its metadata, walked by another process first, cannot be trusted: {}; the file is "
        "damaged: copy or import it again",
        files_[std::min(done_, files_.size() - 1)].path.string(), why);
  }

  std::span<const Target> files_;
  pid_t child_ = 0;
  int pipe_ = -1, error_ = 0;
  std::size_t done_ = 0;  // files
  std::string line_;
  double begun_ = 0;
};

bool stamp_of(const fs::path& path, Stamp& stamp, double& bytes) {
  struct stat found;
  if (::stat(path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) return false;
  stamp = {found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
  bytes = static_cast<double>(found.st_size);
  return true;
}

// Files that are not there, or no files, are left to whoever opens them.
std::vector<Target> files_to_walk(std::span<const fs::path> files, double seconds) {
  std::vector<Target> targets;
  for (const fs::path& path : files) {
    Target target{path, {}, 0};
    double bytes = 0;
    if (!stamp_of(path, target.stamp, bytes)) continue;
    const auto known = state().walked.find(path);
    if (known != state().walked.end() && known->second == target.stamp) continue;
    target.seconds = std::min(seconds + bytes / kBytesPerSecond, std::max(seconds, kMostSeconds));
    targets.push_back(std::move(target));
  }
  return targets;
}

void await(std::span<const std::unique_ptr<Walk>> walks) {
  std::vector<pollfd> ends;
  std::vector<Walk*> speakers;
  while (true) {
    ends.clear();
    speakers.clear();
    double left = kMostSeconds;
    for (const auto& walk : walks) {
      if (!walk->running()) continue;
      ends.push_back({walk->pipe(), POLLIN, 0});
      speakers.push_back(walk.get());
      left = std::min(left, walk->seconds_left());
    }
    if (ends.empty()) return;
    const int wait = static_cast<int>(std::ceil(std::max(left, 0.0) * 1000));
    const int ready = ::poll(ends.data(), ends.size(), wait);
    for (std::size_t i = 0; i < ends.size(); ++i) {
      if (ready > 0 && ends[i].revents != 0) {
        speakers[i]->listen();
      } else if (speakers[i]->seconds_left() <= 0) {
        speakers[i]->time_is_over();
      }
    }
  }
}

}  // namespace

void set_probe_program(fs::path program) {
  const std::scoped_lock lock(state().mutex);
  state().program = std::move(program);
}

void probe(std::span<const fs::path> files, Follow follow, double seconds) {
  const std::scoped_lock lock(state().mutex);
  if (state().program.empty() || seconds <= 0) return;
  const std::vector<Target> targets = files_to_walk(files, seconds);
  if (targets.empty()) return;
  const std::size_t count = std::clamp<std::size_t>(targets.size() / kFilesPerWalk, 1, kMostWalks);
  std::vector<std::unique_ptr<Walk>> walks;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t begin = targets.size() * i / count, end = targets.size() * (i + 1) / count;
    walks.push_back(std::make_unique<Walk>(state().program, follow,
                                           std::span(targets).subspan(begin, end - begin)));
    if (const int error = walks.back()->error(); error != 0) {
      if (!std::exchange(state().warned, true))
        log::warn(
            "no process can be started to walk the metadata of data files ({}): a damaged file may "
            "crash this one",
            std::strerror(error));
      return;
    }
  }
  await(walks);
  for (const Target& target : targets) state().walked[target.path] = target.stamp;
}

}  // namespace lockstep::data
