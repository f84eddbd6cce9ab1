#include "together.h"

namespace lockstep::comm {

Failure run(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return {error.code(), error.what(), std::current_exception()};
  } catch (const std::exception& error) {
    return {ExitCode::kBug, error.what(), std::current_exception()};
  } catch (...) {
    return {ExitCode::kBug, "an exception of unknown type", std::current_exception()};
  }
  return {};
}

void throw_again(ExitCode code, const std::string& sentence) {
  switch (code) {
    case ExitCode::kUser:
      throw UserError("{}", sentence);
    case ExitCode::kData:
      throw DataError("{}", sentence);
    default:
      throw Error(code, sentence);
  }
}

}  // namespace lockstep::comm
