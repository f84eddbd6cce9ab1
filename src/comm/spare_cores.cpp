#include "spare_cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "lockstep/comm/cores.h"
#include "lockstep/core/hash.h"

namespace lockstep::comm {
namespace {

int cores_in(const std::uint64_t (&mask)[CoreShare::kWords]) {
  int cores = 0;
  for (const std::uint64_t word : mask) cores += std::popcount(word);
  return cores;
}

// The narrowest limit of this process's cgroup and those above it (cgroup v2).
int cgroup_quota() {
  std::ifstream own("/proc/self/cgroup");
  std::string line;
  int least = 0;
  while (std::getline(own, line)) {
    if (!line.starts_with("0::/")) continue;
    const std::filesystem::path root = "/sys/fs/cgroup";
    for (std::filesystem::path group = root / line.substr(4);; group = group.parent_path()) {
      std::ifstream file(group / "cpu.max");
      std::string limit;
      const int cores = std::getline(file, limit) ? whole_cores_of(limit) : 0;
      if (cores > 0) least = least == 0 ? cores : std::min(least, cores);
      if (group.string().size() <= root.string().size()) break;
    }
  }
  return least;
}

}  // namespace

int whole_cores_of(const std::string& cpu_max) {
  std::istringstream words(cpu_max);
  double quota = 0, period = 0;
  if (!(words >> quota >> period) || period <= 0) return 0;
  return std::max(1, static_cast<int>(quota / period));
}

CoreShare local_core_share(int threads) {
  CoreShare share;
  share.threads = threads;
  share.quota = cgroup_quota();
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return share;
  for (int core = 0; core < std::min(CPU_SETSIZE, 64 * CoreShare::kWords); ++core) {
    if (CPU_ISSET(core, &set)) share.mask[core / 64] |= std::uint64_t{1} << (core % 64);
  }
  return share;
}

bool spare_a_core_each(std::span<const CoreShare> ranks) {
  CoreShare all;
  int needed = 0;
  for (const CoreShare& rank : ranks) {
    if (cores_in(rank.mask) <= rank.threads) return false;
    needed += rank.threads + 1;
    for (int i = 0; i < CoreShare::kWords; ++i) all.mask[i] |= rank.mask[i];
  }
  if (cores_in(all.mask) < needed) return false;
  return std::ranges::none_of(
      ranks, [needed](const CoreShare& rank) { return rank.quota > 0 && rank.quota < needed; });
}

int spare_cores_each(std::span<const CoreShare> ranks, std::size_t own) {
  CoreShare all;
  int taken = 0, quota = 0;
  for (const CoreShare& rank : ranks) {
    taken += rank.threads;
    for (int i = 0; i < CoreShare::kWords; ++i) all.mask[i] |= rank.mask[i];
    if (rank.quota > 0) quota = quota == 0 ? rank.quota : std::min(quota, rank.quota);
  }
  int cores = cores_in(all.mask);
  if (quota > 0) cores = std::min(cores, quota);
  const int mine = cores_in(ranks[own].mask) - ranks[own].threads;
  return std::max(0, std::min((cores - taken) / static_cast<int>(ranks.size()), mine));
}

int spare_cores(Communicator& communicator, int threads) {
  struct Told {
    std::uint64_t machine;
    int position;
    CoreShare share;
  };
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  const Told mine{hash64(host), communicator.topology().position,
                  local_core_share(threads + (communicator.has_progress_thread() ? 1 : 0))};
  const auto bytes = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::vector<CoreShare> machine;
  std::size_t own = 0;
  for (std::size_t at = 0; at + sizeof(Told) <= bytes.size(); at += sizeof(Told)) {
    Told one;
    std::memcpy(&one, bytes.data() + at, sizeof one);
    if (one.machine != mine.machine) continue;
    if (one.position == mine.position) own = machine.size();
    machine.push_back(one.share);
  }
  return spare_cores_each(machine, own);
}

}  // namespace lockstep::comm
