// Starts one of the test programs, alone or under mpirun, and gives back what it printed.
#pragma once
#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace lockstep::train {

struct Ran {
  int code = -1;
  std::string out;  // stdout, without its last newline
};

inline Ran run_command(const std::string& command) {
  Ran ran;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  char buffer[4096];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
    ran.out.append(buffer, n);
  const int status = ::pclose(pipe);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  while (!ran.out.empty() && ran.out.back() == '\n') ran.out.pop_back();
  return ran;
}

inline std::string program_path(const std::string& name) {
  return std::string(LOCKSTEP_TEST_PROGRAMS) + "/" + name;
}

// stderr of mpirun (its notice that a rank exited with a code) is dropped.
inline Ran run_ranks(int ranks, const std::string& program, const std::string& arguments) {
  return run_command(fmt::format("'{}' -np {} '{}' {} 2>/dev/null", LOCKSTEP_MPIRUN, ranks,
                                 program_path(program), arguments));
}

}  // namespace lockstep::train
