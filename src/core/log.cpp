#include "lockstep/core/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace lockstep::log {
namespace {

bool speaks_ = true;
bool quiet_ = false;

// One write per line, so that lines of several processes do not mix.
void put(std::FILE* stream, const std::string& text) {
  const std::string whole = text + "\n";
  std::fwrite(whole.data(), 1, whole.size(), stream);
  std::fflush(stream);
}

}  // namespace

void set_speaker(bool speaks) { speaks_ = speaks; }
void set_quiet(bool quiet) { quiet_ = quiet; }
bool speaks() { return speaks_; }
bool quiet() { return quiet_; }

// Open MPI gives every rank a terminal of its own, whatever becomes of the output: then the
// launcher's stream decides. That of a launcher's daemon on another node is none.
bool is_terminal(std::FILE* stream) {
  const int own = ::fileno(stream);
  if (::isatty(own) == 0) return false;
  if (std::getenv("OMPI_COMM_WORLD_SIZE") == nullptr) return true;
  const std::string path = fmt::format("/proc/{}/fd/{}", ::getppid(), own);
  const int launchers = ::open(path.c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (launchers < 0) return false;
  const bool terminal = ::isatty(launchers) != 0;
  ::close(launchers);
  return terminal;
}

bool color() { return is_terminal(stdout) && std::getenv("NO_COLOR") == nullptr; }

void line(const std::string& text) { put(stdout, text); }
void warning(const std::string& text) { put(stderr, "lockstep: warning: " + text); }
void error(const std::string& text) { put(stderr, "lockstep: " + text); }

}  // namespace lockstep::log
