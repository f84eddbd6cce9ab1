#include "train/appended_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/log.h"

namespace lockstep::train {
namespace {

std::string kept_lines(const std::filesystem::path& file,
                       const std::function<bool(const std::string&)>& keep) {
  if (!std::filesystem::exists(file)) return "";
  const std::string text = read_file(file);
  std::string kept;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = text.substr(at, end - at);
    if (keep(line)) kept += line + "\n";
  }
  return kept;
}

}  // namespace

AppendedLines::AppendedLines(std::filesystem::path file,
                             const std::function<bool(const std::string&)>& keep)
    : file_(std::move(file)) {
  write_file_atomically(file_, kept_lines(file_, keep));
  fd_ = ::open(file_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd_ < 0) throw UserError("cannot open {}: {}", file_.string(), std::strerror(errno));
}

AppendedLines::~AppendedLines() {
  if (fd_ >= 0) ::close(fd_);
}

void AppendedLines::append(const std::string& line) {
  if (fd_ < 0) return;
  const off_t before = ::lseek(fd_, 0, SEEK_END);
  if (::write(fd_, line.data(), line.size()) == static_cast<ssize_t>(line.size())) return;
  const char* reason = std::strerror(errno);
  if (!warned_)
    log::warn("cannot append to {}: {}; lines will be missing there", file_.string(), reason);
  warned_ = true;
  // Half a line would spoil the next one.
  if (::ftruncate(fd_, before) != 0) ::close(std::exchange(fd_, -1));
}

}  // namespace lockstep::train
