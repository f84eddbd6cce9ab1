// Damages small good data files and reads them as training does: nothing may crash but the walk of
// their metadata, which the program leaves to another process; nothing may hang; and no value that
// a hash or a checksum covers may be wrong. Everything follows from the seed.
//
//   fuzz FOLDER PROGRAM SEED COUNT [FIRST]  FOLDER as make_bases.py left it; prints a table
//   fuzz --write FOLDER SEED INDEX OUT   writes the files of one case into the folder OUT
//   fuzz --batch FOLDER PROGRAM SEED FIRST COUNT   what it starts itself as
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "fuzz/damage.h"
#include "fuzz/reading.h"
#include "lockstep/core/clock.h"

namespace lockstep::fuzz {
namespace {

constexpr int kBatch = 250;      // cases of a process, which stays the same for the good ones
constexpr double kPatience = 8;  // seconds for a case that reads; of a hang in the walk less
constexpr double kWalkPatience = 3;
constexpr double kProgramPatience = 120;

struct Arguments {
  fs::path folder;
  std::string program;
  std::uint64_t seed = 1;
  std::int64_t first = 0, count = 0;
};

// A process whose standard output is read here.
class Process {
 public:
  explicit Process(std::vector<std::string> words, bool errors_too = false) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    if (errors_too)
      posix_spawn_file_actions_adddup2(&files, ends[1], STDERR_FILENO);
    else
      posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int error =
        ::posix_spawn(&child_, words[0].c_str(), &files, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    ::close(ends[1]);
    pipe_ = ends[0];
    if (error != 0) throw std::runtime_error(words[0] + ": " + std::strerror(error));
  }
  ~Process() { end(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  enum class Said { kLine, kNothing, kEnd };
  Said line(double seconds, std::string& line) {
    const double until = seconds_now() + seconds;
    while (true) {
      if (const std::size_t at = text_.find('\n'); at != std::string::npos) {
        line = text_.substr(0, at);
        text_.erase(0, at + 1);
        return Said::kLine;
      }
      pollfd ready{pipe_, POLLIN, 0};
      const int left = static_cast<int>(std::max(0.0, until - seconds_now()) * 1000);
      const int n = ::poll(&ready, 1, left);
      if (n == 0) return Said::kNothing;
      if (n < 0) continue;
      char bytes[4096];
      const ssize_t got = ::read(pipe_, bytes, sizeof bytes);
      if (got <= 0) return Said::kEnd;
      text_.append(bytes, static_cast<std::size_t>(got));
    }
  }
  // Its status; killed if it still runs after so long.
  int end(double patience = 0) {
    if (child_ <= 0) return status_;
    const double until = seconds_now() + patience;
    while (::waitpid(child_, &status_, WNOHANG) == 0) {
      if (seconds_now() >= until) {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, &status_, 0);
        break;
      }
      ::usleep(1000);
    }
    child_ = 0;
    ::close(pipe_);
    return status_;
  }

 private:
  pid_t child_ = 0;
  int pipe_ = -1, status_ = 0;
  std::string text_;
};

using Table = std::map<std::string, std::map<std::string, std::int64_t>>;  // by base and outcome

class Campaign {
 public:
  explicit Campaign(Arguments arguments)
      : a_(std::move(arguments)), bases_(read_bases(a_.folder)) {}

  int run() {
    const double begun = seconds_now();
    const std::int64_t end = a_.first + a_.count;
    for (std::int64_t next = a_.first; next < end;)
      next = batch(next, std::min<std::int64_t>(kBatch, end - next));
    print(seconds_now() - begun);
    return failures_ > 0 ? 1 : 0;
  }

 private:
  // Returns the first case that is still to be done.
  std::int64_t batch(std::int64_t first, std::int64_t count) {
    Process child({"/proc/self/exe", "--batch", a_.folder.string(), a_.program,
                   std::to_string(a_.seed), std::to_string(first), std::to_string(count)});
    std::int64_t at = first;
    std::string phase = "start", line;
    while (at < first + count) {
      const auto said = child.line(phase == "walk" ? kWalkPatience : kPatience, line);
      if (said == Process::Said::kLine) {
        if (!line.starts_with("# ")) continue;
        std::istringstream words(line.substr(2));
        std::string outcome;
        words >> phase;
        if (phase != "done") continue;
        words >> outcome;
        std::getline(words, line);
        count_case(at, outcome, line);
        ++at;
        continue;
      }
      const bool hangs = said == Process::Said::kNothing;
      const int status = child.end();
      if (phase == "start" || phase == "done") {
        count_case(at, "FAILED", fmt::format("the driver ended in phase {}", phase));
      } else if (phase == "walk") {
        count_case(at, hangs ? "hang_in_walk" : "crash_in_walk", "");
      } else {
        count_case(
            at, "FAILED",
            hangs ? "a hang" : fmt::format("a crash, status {:#x}", static_cast<unsigned>(status)));
      }
      return at + 1;
    }
    return at;
  }

  void count_case(std::int64_t index, const std::string& outcome, const std::string& text) {
    const Case c = draw_case(a_.seed, index, bases_);
    ++table_[bases_[c.base].name][outcome];
    ++kinds_[c.kind_name()][outcome];
    if (outcome == "FAILED") ++failures_;
    if (outcome != "FAILED" && !outcome.ends_with("_in_walk")) return;
    std::printf("case %lld, %s, %s: %s %s\n", static_cast<long long>(index),
                bases_[c.base].name.c_str(), c.kind_name(), outcome.c_str(), text.c_str());
    std::fflush(stdout);
  }

  void print(double seconds) const {
    const std::vector<std::string> columns{"same",         "refused",      "crash_in_walk",
                                           "hang_in_walk", "unchecked",    "other_structure",
                                           "zeros",        "whole_chunks", "FAILED"};
    for (const auto& [title, table] : {std::pair{"file", &table_}, std::pair{"damage", &kinds_}}) {
      std::printf("\n| %s |", title);
      for (const auto& column : columns) std::printf(" %s |", column.c_str());
      std::printf("\n| --- |");
      for (std::size_t i = 0; i < columns.size(); ++i) std::printf(" --: |");
      std::map<std::string, std::int64_t> sums;
      const auto print_row = [&](const std::string& name, const auto& row) {
        std::printf("\n| %s |", name.c_str());
        for (const auto& column : columns) {
          const auto n = row.contains(column) ? row.at(column) : 0;
          std::printf(" %lld |", static_cast<long long>(n));
        }
      };
      for (const auto& [name, row] : *table) {
        print_row(name, row);
        for (const auto& [outcome, n] : row) sums[outcome] += n;
      }
      print_row("all", sums);
      std::printf("\n");
    }
    std::printf("\n%lld cases of seed %llu in %.0f s, failures: %lld\n",
                static_cast<long long>(a_.count), static_cast<unsigned long long>(a_.seed), seconds,
                static_cast<long long>(failures_));
  }

  Arguments a_;
  std::vector<Base> bases_;
  Table table_, kinds_;
  std::int64_t failures_ = 0;
};

void tell(const std::string& line) {
  std::fputs(("# " + line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

// The real program on a few of the cases: its exit code, and that it names the file.
std::string try_program(const Arguments& a, const fs::path& file, const std::string& how) {
  std::vector<std::string> words{a.program, "--quiet"};
  if (how == "inspect") {
    words.insert(words.end(), {"inspect", "--check", file.string()});
  } else {
    words.insert(words.end(), {"train", (a.folder / "run.toml").string(), "--set",
                               "data.path=" + file.string(), "--set", "data.on_error=" + how});
  }
  Process process(words, true);
  std::string line, text;
  const double until = seconds_now() + kProgramPatience;
  while (process.line(until - seconds_now(), line) == Process::Said::kLine) text += line + "; ";
  const int status = process.end(1);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code != 0 && code != 2 && code != 3)
    return fmt::format("lockstep {} ended with status {:#x}: {}", how,
                       static_cast<unsigned>(status), text);
  if (code != 0 && text.find(file.parent_path().string()) == std::string::npos)
    return fmt::format("lockstep {} does not name the file: {}", how, text);
  return {};
}

int run_batch(const Arguments& a) {
  const std::vector<Base> bases = read_bases(a.folder);
  const fs::path work = a.folder / fmt::format("work{}", ::getppid());
  Reading reading(bases, work);
  for (std::int64_t i = a.first; i < a.first + a.count; ++i) {
    const Case c = draw_case(a.seed, i, bases);
    const fs::path file = reading.prepare(c);
    tell("walk");
    reading.walk(file);
    tell("read");
    Verdict verdict = reading.read(c, file);
    if (verdict.outcome != "FAILED" && !c.while_reading()) {
      std::string wrong;
      if (i % 97 == 0) wrong = try_program(a, file, "inspect");
      if (i % 331 == 0) wrong += try_program(a, file, "stop");
      if (i % 331 == 1) wrong += try_program(a, file, "skip");
      if (!wrong.empty()) verdict = {"FAILED", wrong};
    }
    tell(fmt::format("done {} {}", verdict.outcome, verdict.text));
  }
  fs::remove_all(work);
  return 0;
}

int write_case(const fs::path& folder, std::uint64_t seed, std::int64_t index,
               const fs::path& out) {
  const std::vector<Base> bases = read_bases(folder);
  const Case c = draw_case(seed, index, bases);
  fs::create_directories(out);
  for (std::size_t i = 0; i < bases[c.base].files.size(); ++i) {
    const BaseFile& file = bases[c.base].files[i];
    std::ofstream(out / file.name, std::ios::binary) << (i == c.file ? c.bytes : file.bytes);
    fs::last_write_time(out / file.name, file.changed);
  }
  std::printf("%s, of %s: %s\n", bases[c.base].files[c.file].name.c_str(),
              bases[c.base].name.c_str(), c.kind_name());
  return 0;
}

}  // namespace
}  // namespace lockstep::fuzz

int main(int argc, char** argv) {
  using namespace lockstep::fuzz;
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 5 && words.front() == "--write")
    return write_case(words[1], std::stoull(words[2]), std::stoll(words[3]), words[4]);
  const bool batch = !words.empty() && words.front() == "--batch";
  if (batch) words.erase(words.begin());
  if (words.size() < 4) {
    std::fprintf(stderr, "usage: fuzz FOLDER PROGRAM SEED COUNT [FIRST]\n");
    return 2;
  }
  Arguments a{words[0], words[1], std::stoull(words[2]), 0, 0};
  a.count = std::stoll(words[batch ? 4 : 3]);
  if (batch) a.first = std::stoll(words[3]);
  if (!batch && words.size() > 4) a.first = std::stoll(words[4]);
  return batch ? run_batch(a) : Campaign(a).run();
}
