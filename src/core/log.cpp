#include "lockstep/core/log.h"

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
bool color() { return ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr; }

void line(const std::string& text) { put(stdout, text); }
void warning(const std::string& text) { put(stderr, "lockstep: warning: " + text); }
void error(const std::string& text) { put(stderr, "lockstep: " + text); }

}  // namespace lockstep::log
