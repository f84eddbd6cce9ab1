// A folder of a test's own that is removed with it.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <string>

#include "lockstep/core/error.h"

namespace lockstep::train {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "lockstep-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw UserError("cannot make {}", name);
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The sentence of the Error that `body` throws, after a check of its kind.
template <class Body>
std::string sentence_of(ExitCode code, Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code() == code ? error.what() : std::string("wrong kind: ") + error.what();
  }
  return "nothing was thrown";
}

}  // namespace lockstep::train
