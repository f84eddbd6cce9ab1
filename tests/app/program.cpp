#include "app/program.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"

namespace lockstep::app_tests {
namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path = fs::temp_directory_path() / fmt::format("lockstep app tests {}", ::getpid());
  Folder() { fs::create_directories(path); }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

}  // namespace

const fs::path& folder() {
  static const Folder made;
  return made.path;
}

void write(const std::string& name, const std::string& text) {
  write_file_atomically(folder() / name, text);
}

Outcome shell(const std::string& command) {
  const int status = std::system(
      fmt::format("cd '{}' && {{ {}\n}} >out.txt 2>err.txt </dev/null", folder().string(), command)
          .c_str());
  Outcome outcome;
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.out = read_file(folder() / "out.txt");
  outcome.err = read_file(folder() / "err.txt");
  return outcome;
}

Outcome lockstep(const std::string& arguments, int ranks) {
  const std::string start = ranks == 0 ? "" : fmt::format("'{}' -np {} ", LOCKSTEP_MPIRUN, ranks);
  return shell(fmt::format("{}'{}' {}", start, LOCKSTEP_PROGRAM, arguments));
}

const std::string& dataset() {
  static const std::string name = [] {
    std::string csv = "a,b,c,y\n";
    for (int i = 0; i < 600; ++i) {
      const double a = std::sin(12.9898 * i), b = std::sin(78.233 * i), c = std::sin(37.719 * i);
      csv += fmt::format("{:.4f},{:.4f},{:.4f},{}\n", a, b, i == 77 ? 12345.678 : c,
                         a + b > 0 ? 1 : 0);
    }
    write("points.csv", csv);
    const Outcome made =
        lockstep("--quiet import --train points.csv --test-fraction 0.2 -o points.h5");
    LOCKSTEP_CHECK(made.code == 0, "import failed: {}", made.err);
    return "points.h5";
  }();
  return name;
}

const std::string& run_file() {
  static const std::string name = [] {
    write("points.toml",
          fmt::format("[data]\npath = \"{}\"\n[model]\npreset = \"mlp\"\nhidden = [8]\n"
                      "[train]\nbatch = 32\nepochs = 1\n",
                      dataset()));
    return "points.toml";
  }();
  return name;
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

}  // namespace lockstep::app_tests
