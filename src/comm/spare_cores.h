// Whether this machine has cores for a thread more of each rank: what affinity masks and the cgroup
// leave, against what the ranks' threads take. Knows Linux, not MPI.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lockstep::comm {

// Of one rank. Plain bytes, to be sent.
struct CoreShare {
  static constexpr int kWords = 16;
  std::uint64_t mask[kWords] = {};  // bit i: may run on core i; all zero: not known
  int threads = 1;                  // that compute
  int quota = 0;                    // whole cores that its cgroup may use; 0: no limit
};

CoreShare local_core_share(int threads);
// ranks: all of one machine. Every rank needs a core more than threads in its own mask, and all
// together so many in the union of masks and under the quota.
bool spare_a_core_each(std::span<const CoreShare> ranks);
// Of cores beside their threads, an equal part of each; at least 0. own: the rank that asks.
int spare_cores_each(std::span<const CoreShare> ranks, std::size_t own);
// Of the content of cpu.max, "max 100000" or "400000 100000"; 0: no limit.
int whole_cores_of(const std::string& cpu_max);

}  // namespace lockstep::comm
