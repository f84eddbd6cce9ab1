#include "lockstep/core/error.h"

namespace lockstep {

void check_failed(const char* file, int line, const char* condition, const std::string& why) {
  throw Error(ExitCode::kBug, fmt::format("this is a bug in lockstep: {} ({}:{}: {} is false)", why,
                                          file, line, condition));
}

}  // namespace lockstep
