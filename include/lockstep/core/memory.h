// How much memory this process and its neighbours may use, and how much it uses. From /proc and
// the cgroup hierarchies; figures that the system does not give are 0.
#pragma once
#include <cstdint>
#include <string>

namespace lockstep {

struct MemoryLimit {
  std::uint64_t bytes = 0;
  std::string source;  // "the memory of this machine", "the limit of cgroup /slurm/job_7"
};
// The least of the machine's memory and the limits of this process's cgroup and its parents
// (version 1 and 2).
MemoryLimit memory_limit();
// What the system could give out now without swapping, within that limit.
std::uint64_t free_memory();

// Resident bytes of this process, what it shares divided by those who share it (PSS).
std::uint64_t proportional_memory();
std::uint64_t resident_memory();  // now, in some microseconds
std::uint64_t peak_resident_memory();

}  // namespace lockstep
