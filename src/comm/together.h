// An error of one rank as a value that can travel, and as the same exception elsewhere.
#pragma once
#include <exception>
#include <functional>
#include <string>

#include "lockstep/core/error.h"

namespace lockstep::comm {

struct Failure {
  ExitCode code = ExitCode::kDone;
  std::string sentence;
  std::exception_ptr error;
  bool failed() const { return error != nullptr; }
};

Failure run(const std::function<void()>& body);
[[noreturn]] void throw_again(ExitCode code, const std::string& sentence);

}  // namespace lockstep::comm
