// A file of lines that is only ever appended to, and that a run which goes on from an earlier step
// cuts back first. A disk that is full costs a warning and the line, not the run.
#pragma once
#include <filesystem>
#include <functional>
#include <string>

namespace lockstep::train {

class AppendedLines {
 public:
  // Keeps of an existing file the whole lines that `keep` wants (a line that a crash left
  // half-written goes). Throws UserError if the file cannot be written.
  AppendedLines(std::filesystem::path file, const std::function<bool(const std::string&)>& keep);
  ~AppendedLines();
  AppendedLines(const AppendedLines&) = delete;
  AppendedLines& operator=(const AppendedLines&) = delete;

  void append(const std::string& line);  // ends in a newline

 private:
  const std::filesystem::path file_;
  int fd_ = -1;
  bool warned_ = false;
};

}  // namespace lockstep::train
