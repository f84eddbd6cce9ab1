#include "train/time_left.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <limits>

#include "lockstep/core/clock.h"

namespace lockstep::train {
namespace {

// Signals as a program of its own expects them: none ignored, none held back.
class SpawnSettings {
 public:
  explicit SpawnSettings(int output) {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_addopen(&files_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files_, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files_, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes_);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  const posix_spawn_file_actions_t* files() const { return &files_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

}  // namespace

std::optional<double> parse_time_left(std::string_view text) {
  text = text.substr(0, text.find('\n'));
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return std::nullopt;
  text = text.substr(first, text.find_last_not_of(" \t\r") + 1 - first);
  if (text == "UNLIMITED") return std::numeric_limits<double>::infinity();
  // Numbers from the left; each is so many of the next smaller unit.
  double seconds = 0;
  int numbers = 0;
  bool days = false;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    unsigned value = 0;
    const auto [rest, error] = std::from_chars(at, end, value);
    if (error != std::errc()) return std::nullopt;
    ++numbers;
    seconds += value;
    at = rest;
    if (at == end) break;
    if (*at == '-' && numbers == 1) {
      days = true;
      seconds *= 24;
    } else if (*at == ':') {
      seconds *= 60;
    } else {
      return std::nullopt;
    }
    ++at;
  }
  if (days ? numbers != 4 : (numbers < 2 || numbers > 3)) return std::nullopt;
  return seconds;
}

TimeLeftQuery::~TimeLeftQuery() {
  if (child_ <= 0) return;
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
  close();
}

void TimeLeftQuery::close() {
  ::close(pipe_);
  pipe_ = -1;
  child_ = 0;
}

void TimeLeftQuery::ask(const std::string& job) {
  if (asking()) return;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  std::string words[] = {"squeue", "-h", "-j", job, "-o", "%L"};
  char* arguments[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(),
                       words[4].data(), words[5].data(), nullptr};
  const SpawnSettings settings(ends[1]);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, "squeue", settings.files(), settings.attributes(), arguments, environ);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return;
  }
  child_ = child;
  pipe_ = ends[0];
  asked_ = seconds_now();
}

// A line fits into the pipe, so squeue ends without a reader.
std::optional<double> TimeLeftQuery::answer() {
  if (!asking()) return std::nullopt;
  if (::waitpid(child_, nullptr, WNOHANG) == 0) {
    if (seconds_now() - asked_ > kPatience) ::kill(child_, SIGKILL);
    return std::nullopt;
  }
  char text[256];
  const ssize_t bytes = ::read(pipe_, text, sizeof text);
  close();
  if (bytes <= 0) return std::nullopt;
  return parse_time_left({text, static_cast<std::size_t>(bytes)});
}

}  // namespace lockstep::train
