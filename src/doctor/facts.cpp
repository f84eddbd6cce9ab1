#include "doctor/facts.h"

#include <sched.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "lockstep/core/host.h"
#include "lockstep/core/isa.h"
#include "lockstep/core/memory.h"
#include "lockstep/data/filters.h"
#include "lockstep/device/cuda.h"
#include "lockstep/device/device.h"

namespace lockstep::doctor {
namespace {

double wall_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

void look_at_cores(RankFacts& facts) {
  facts.online = static_cast<std::int32_t>(sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return;
  for (int core = 0; core < std::min(CPU_SETSIZE, 64 * RankFacts::kWords); ++core)
    if (CPU_ISSET(core, &set)) facts.cores[core / 64] |= std::uint64_t{1} << (core % 64);
}

void look_at_memory(RankFacts& facts) {
  struct statvfs shm = {};
  if (statvfs("/dev/shm", &shm) == 0) {
    facts.shm_bytes = static_cast<std::uint64_t>(shm.f_blocks) * shm.f_frsize;
    facts.shm_free = static_cast<std::uint64_t>(shm.f_bavail) * shm.f_frsize;
  }
  const MemoryLimit limit = memory_limit();
  facts.memory = limit.bytes;
  facts.memory_source.set(limit.source);
}

std::uint64_t readable_filters() {
  std::uint64_t bits = 0;
  const auto filters = data::known_filters();
  for (std::size_t i = 0; i < filters.size(); ++i)
    if (filters[i].available) bits |= std::uint64_t{1} << i;
  return bits;
}

}  // namespace

void Text::set(const std::string& text) {
  std::memcpy(chars, text.data(), std::min(text.size(), sizeof chars - 1));
}

Gpus look_at_gpus() {
  const CudaSummary found = summarise_cuda_devices();
  Gpus gpus;
  gpus.devices = found.devices;
  gpus.pairs_without_peers = found.pairs_without_peers;
  gpus.names.set(found.names);
  gpus.problem.set(found.problem);
  return gpus;
}

std::vector<RankFacts> gather_facts(comm::Communicator& communicator, const Request& request) {
  RankFacts mine;
  mine.rank = communicator.rank();
  mine.node = communicator.topology().node();
  mine.threads = request.threads;
  mine.host.set(host_name());
  mine.cpu.set(cpu_model());
  mine.isa.set(std::string(name_of(detected_isa())));
  std::string build;
  for (const auto& [name, version] : request.libraries) build += name + " " + version + ", ";
  mine.build.set(build.substr(0, build.empty() ? 0 : build.size() - 2));
  look_at_cores(mine);
  look_at_memory(mine);
  mine.filters = readable_filters();
  mine.gpus = look_at_gpus();
  if (!request.data.empty() && ::access(request.data.c_str(), R_OK) != 0) mine.data_error = errno;
  communicator.barrier();
  mine.clock = wall_clock();
  communicator.barrier();
  mine.flops = measure_fma_peak();
  mine.files = time_files(communicator, request.folder);

  const auto bytes = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::vector<RankFacts> all(bytes.size() / sizeof mine);
  std::memcpy(all.data(), bytes.data(), bytes.size());
  std::ranges::sort(all, {}, &RankFacts::rank);
  return all;
}

}  // namespace lockstep::doctor
