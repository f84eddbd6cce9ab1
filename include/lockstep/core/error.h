// The one error path: an exception whose sentence says what happened, where, and what to try.
// Thrown anywhere, caught once in main, printed once, turned into the exit code of its kind.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace lockstep {

enum class ExitCode : int {
  kDone = 0,
  kNo = 1,        // the answer of verify, inspect, doctor or bench is no
  kUser = 2,      // the user's mistake, with what to try
  kData = 3,      // data that cannot be trusted
  kBug = 70,      // ours
  kHang = 74,     // a peer did not answer within run.watchdog
  kStopped = 75,  // stopped early on a signal with a good checkpoint: start again to resume
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// The user's mistake: an option, a path, a shape that does not fit. Exit code 2.
class UserError : public Error {
 public:
  template <class... A>
  explicit UserError(fmt::format_string<A...> format, A&&... a)
      : Error(ExitCode::kUser, fmt::format(format, std::forward<A>(a)...)) {}
};

// A file or a number that cannot be trusted. Exit code 3.
class DataError : public Error {
 public:
  template <class... A>
  explicit DataError(fmt::format_string<A...> format, A&&... a)
      : Error(ExitCode::kData, fmt::format(format, std::forward<A>(a)...)) {}
};

[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& why);

}  // namespace lockstep

// For our own bugs only; a user's mistake throws UserError or DataError.
#define LOCKSTEP_CHECK(condition, ...)                                                     \
  do {                                                                                     \
    if (!(condition)) [[unlikely]]                                                         \
      ::lockstep::check_failed(__FILE__, __LINE__, #condition, fmt::format("" __VA_ARGS__)); \
  } while (false)
