#include "lockstep/core/memory.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace lockstep {
namespace {

namespace fs = std::filesystem;

// The value in kB of a line "key:  123 kB" of a file of /proc, in bytes; 0 if there is none.
std::uint64_t bytes_in(const char* file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key)) return 1024 * std::stoull(line.substr(key.size()));
  }
  return 0;
}

// 0: no limit. Version 2 writes "max", version 1 a number larger than any machine's memory.
std::uint64_t limit_in(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t bytes = 0;
  return in >> bytes ? bytes : 0;
}

// The limits of a group and its parents; `path` as in /proc/self/cgroup. Inside of a container the
// hierarchy's root may be the group itself.
void look_up(const fs::path& root, const char* file, std::string path, MemoryLimit& least) {
  while (true) {
    const std::uint64_t bytes = limit_in(root / path.substr(path.starts_with('/') ? 1 : 0) / file);
    if (bytes > 0 && bytes < least.bytes)
      least = {bytes, "the limit of cgroup " + (path.empty() ? "/" : path)};
    if (path.empty() || path == "/") return;
    path.erase(path.find_last_of('/'));
  }
}

}  // namespace

MemoryLimit memory_limit() {
  MemoryLimit least{bytes_in("/proc/meminfo", "MemTotal:"), "the memory of this machine"};
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // "number:controllers:path"; version 2 has no controllers.
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) look_up("/sys/fs/cgroup", "memory.max", path, least);
    if (controllers == "memory")
      look_up("/sys/fs/cgroup/memory", "memory.limit_in_bytes", path, least);
  }
  return least;
}

std::uint64_t free_memory() {
  return std::min(bytes_in("/proc/meminfo", "MemAvailable:"), memory_limit().bytes);
}

std::uint64_t proportional_memory() { return bytes_in("/proc/self/smaps_rollup", "Pss:"); }
std::uint64_t resident_memory() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return file ? resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}
std::uint64_t peak_resident_memory() { return bytes_in("/proc/self/status", "VmHWM:"); }

}  // namespace lockstep
