#include "doctor/judge.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <tuple>

#include "lockstep/core/units.h"

namespace lockstep::doctor {
namespace {

constexpr std::size_t kNamed = 8;  // ranks or hosts that are named one by one

std::string list_of(const std::vector<std::string>& items) {
  if (items.size() <= kNamed) return fmt::format("{}", fmt::join(items, ", "));
  const std::vector<std::string> first(items.begin(), items.begin() + kNamed);
  return fmt::format("{} and {} more", fmt::join(first, ", "), items.size() - kNamed);
}

std::string list_of(const std::vector<int>& ranks) {
  std::vector<std::string> texts;
  for (const int rank : ranks) texts.push_back(std::to_string(rank));
  return list_of(texts);
}

std::string where(const RankFacts& f) { return fmt::format("rank {} on {}", f.rank, f.host.get()); }

using Cores = std::vector<int>;

Cores cores_of(const RankFacts& f) {
  Cores cores;
  for (int core = 0; core < 64 * RankFacts::kWords; ++core)
    if (f.cores[core / 64] >> (core % 64) & 1) cores.push_back(core);
  return cores;
}

template <class Number>
Number median(std::vector<Number> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// The ranks whose figure is lower than a share of the median.
std::vector<int> behind(Ranks ranks, double RankFacts::*figure, double share, double& middle) {
  std::vector<double> values;
  for (const RankFacts& f : ranks) values.push_back(f.*figure);
  middle = median(values);
  std::vector<int> slow;
  for (const RankFacts& f : ranks)
    if (f.*figure < share * middle) slow.push_back(f.rank);
  return slow;
}

std::string per_second(double bytes) { return bytes_text(bytes) + "/s"; }

}  // namespace

Finding judge_launch(const comm::Launch& launch, int ranks, int nodes, std::int64_t lanes) {
  Finding f{Verdict::kPass, "launch", "", ""};
  if (launch.library.empty()) {
    f.text = "one process, without MPI";
    return f;
  }
  f.text = fmt::format("{} rank{} on {} node{} by {}; {}", ranks, ranks == 1 ? "" : "s", nodes,
                       nodes == 1 ? "" : "s", launch.by_srun ? "srun" : "mpirun", launch.library);
  if (lanes > 0 && ranks > lanes) {
    f.verdict = Verdict::kFail;
    f.text += fmt::format("; train.lanes = {} gives work to no more than {}", lanes, lanes);
    f.remedy = fmt::format("start at most {} ranks, or raise train.lanes (other numbers)", lanes);
  } else if (!launch.turns) {
    f.verdict = Verdict::kWarn;
    f.text += ", without MPI_THREAD_SERIALIZED";
    f.remedy = "another build of MPI; without it run.progress has no thread of its own";
  }
  return f;
}

Finding judge_slurm(const comm::Launch& launch, int nodes, const std::string& pmix_fence) {
  if (!launch.by_srun || nodes < 2) return {};
  if (pmix_fence == "ring") return {Verdict::kPass, "PMIx", "SLURM_PMIX_FENCE=ring", ""};
  return {
      Verdict::kWarn, "PMIx",
      "Slurm's PMIx barrier does not wait in jobs of fewer nodes than TreeWidth (50), and MPI_Init "
      "may then crash now and then",
      "export SLURM_PMIX_FENCE=ring, or PMIxCollFence=ring in the site's mpi.conf"};
}

Finding judge_cores(Ranks ranks) {
  Finding f{Verdict::kPass, "cores", "", ""};
  struct Group {
    std::vector<int> ranks;
    int threads = 0;
  };
  std::map<std::string, std::map<Cores, Group>> by_host;
  std::map<std::string, Group> hosts;
  std::map<std::string, std::vector<bool>> used;
  std::map<std::string, int> online;
  for (const RankFacts& r : ranks) {
    const std::string host = r.host.get();
    Group& group = by_host[host][cores_of(r)];
    for (Group* g : {&group, &hosts[host]}) {
      g->ranks.push_back(r.rank);
      g->threads += r.threads;
    }
    online[host] = r.online;
    auto& bits = used[host];
    bits.resize(64 * RankFacts::kWords);
    for (const int core : cores_of(r)) bits[static_cast<std::size_t>(core)] = true;
  }
  for (const auto& [host, groups] : by_host) {
    const int cores = static_cast<int>(std::ranges::count(used[host], true));
    if (cores == 0) {
      f.verdict = Verdict::kWarn;
      f.text = fmt::format("the system does not say which cores ranks on {} may use", host);
      return f;
    }
    for (const auto& [mask, group] : groups) {
      if (group.threads <= static_cast<int>(mask.size())) continue;
      const bool whole_machine = static_cast<int>(mask.size()) == online[host];
      f.verdict = whole_machine ? Verdict::kWarn : Verdict::kFail;
      f.text =
          fmt::format("on {} rank{} {} with {} thread{} share core{} {}", host,
                      group.ranks.size() == 1 ? "" : "s", list_of(group.ranks), group.threads,
                      group.threads == 1 ? "" : "s", mask.size() == 1 ? "" : "s", list_of(mask));
      f.remedy = whole_machine
                     ? "fewer ranks; to run like this, set OMPI_MCA_mpi_yield_when_idle=1"
                     : "mpirun --bind-to core --map-by slot:PE=THREADS, or srun "
                       "--cpus-per-task=THREADS --cpu-bind=cores; a job's cgroup may also allow "
                       "fewer cores than it has ranks";
      return f;
    }
  }
  const RankFacts& first = ranks.front();
  const std::size_t of_first = hosts[first.host.get()].ranks.size();
  f.text = fmt::format("{} of {} cores for {} rank{} with {} thread{} on {}",
                       std::ranges::count(used[first.host.get()], true), first.online, of_first,
                       of_first == 1 ? "" : "s", first.threads, first.threads == 1 ? "" : "s",
                       first.host.get());
  if (hosts.size() > 1) f.text += fmt::format(", and as well on {} more", hosts.size() - 1);
  return f;
}

Finding judge_machines(Ranks ranks) {
  const RankFacts& first = ranks.front();
  for (const RankFacts& r : ranks) {
    for (const auto& [what, mine, other] : {std::tuple{"the processor", &first.cpu, &r.cpu},
                                            {"the instruction set", &first.isa, &r.isa},
                                            {"the installation", &first.build, &r.build}}) {
      if (mine->get() == other->get()) continue;
      return {Verdict::kFail, "machines",
              fmt::format("{} of {} is {}, of {} {}", what, where(r), other->get(), where(first),
                          mine->get()),
              mine == &first.build
                  ? "start the same installation everywhere"
                  : "nodes of one kind (Slurm: --constraint), run.isa for the instruction set they "
                    "share, or run.mixed = true, which leaves the contract on bits"};
    }
  }
  return {Verdict::kPass, "machines", fmt::format("{}, {}", first.cpu.get(), first.isa.get()), ""};
}

Finding judge_speed(Ranks ranks) {
  constexpr double kShare = 0.8;
  double middle = 0;
  const std::vector<int> slow = behind(ranks, &RankFacts::flops, kShare, middle);
  Finding f{Verdict::kPass, "speed",
            fmt::format("{:.1f} GFLOP/s a core, all ranks at once", middle / 1e9), ""};
  if (slow.empty()) return f;
  f.verdict = Verdict::kWarn;
  f.text += fmt::format("; rank{} {} reach{} less than {:.0f} % of it (rank {}: {:.1f})",
                        slow.size() == 1 ? "" : "s", list_of(slow), slow.size() == 1 ? "es" : "",
                        100 * kShare, slow.front(),
                        ranks[static_cast<std::size_t>(slow.front())].flops / 1e9);
  f.remedy =
      "look there for other programs, a lower clock (temperature, power limit) or shared cores; "
      "assignment.kind = \"adaptive\" gives such ranks fewer lanes";
  return f;
}

Finding judge_clocks(Ranks ranks) {
  constexpr double kApart = 1;  // seconds; a barrier's own spread is far below
  double middle = 0;
  std::vector<double> clocks;
  for (const RankFacts& r : ranks) clocks.push_back(r.clock);
  middle = median(clocks);
  double most = 0;
  for (const RankFacts& r : ranks) {
    most = std::max(most, std::abs(r.clock - middle));
    if (std::abs(r.clock - middle) <= kApart) continue;
    return {Verdict::kWarn, "clocks",
            fmt::format("the clock of {} is {} {} the others'", where(r),
                        seconds_text(std::abs(r.clock - middle)),
                        r.clock > middle ? "ahead of" : "behind"),
            "synchronise it (chrony, ntpd): times of files and logs mislead, munge refuses jobs"};
  }
  return {Verdict::kPass, "clocks", fmt::format("within {} of each other", seconds_text(2 * most)),
          ""};
}

Finding judge_links(const comm::PairLinks& links, const char* topic, bool between_nodes,
                    Ranks ranks) {
  if (links.slow_rank < 0) return {};
  Finding f{Verdict::kPass, topic,
            fmt::format("{} and {} between ranks of {}, all at once",
                        seconds_text(links.median.latency), per_second(links.median.bandwidth),
                        between_nodes ? "neighbouring nodes" : "a node"),
            ""};
  constexpr double kSlowPair = 0.5, kEthernet = 130e6 /* 1 Gbit/s */, kLate = 1e-3;
  if (links.median.latency > kLate) {
    f.verdict = Verdict::kWarn;
    f.remedy = between_nodes ? "the fabric's own transport (UCX, libfabric) instead of TCP, and no "
                               "other traffic; ranks that share cores look like this too"
                             : "a core for each rank; where they must share cores, "
                               "OMPI_MCA_mpi_yield_when_idle=1";
  } else if (between_nodes && links.median.bandwidth < kEthernet) {
    f.verdict = Verdict::kWarn;
    f.remedy =
        "the fabric's own transport (ompi_info lists ucx, ofi); or strategies that send less "
        "(docs/parallelism.md)";
  } else if (links.worst.bandwidth < kSlowPair * links.median.bandwidth) {
    f.verdict = Verdict::kWarn;
    f.text += fmt::format("; only {} between {} and {}", per_second(links.worst.bandwidth),
                          where(ranks[static_cast<std::size_t>(links.slow_rank)]),
                          where(ranks[static_cast<std::size_t>(links.slow_peer)]));
    f.remedy = "run it again; if it is the same pair, leave that node out (Slurm: --exclude)";
  }
  return f;
}

Finding judge_shared_memory(Ranks ranks) {
  constexpr std::uint64_t kContainers = 64 << 20;
  const RankFacts& least = *std::ranges::min_element(ranks, {}, &RankFacts::shm_free);
  Finding f{Verdict::kPass, "/dev/shm",
            fmt::format("{} free on {}", bytes_text(static_cast<double>(least.shm_free)),
                        least.host.get()),
            ""};
  if (ranks.size() == 1 || least.shm_free > kContainers) return f;
  f.verdict = Verdict::kWarn;
  f.text += fmt::format(" of {}", bytes_text(static_cast<double>(least.shm_bytes)));
  f.remedy =
      "mount -o remount,size=50% /dev/shm, or --shm-size of the container: else ranks of a node "
      "exchange messages instead";
  return f;
}

Finding judge_memory(Ranks ranks) {
  const RankFacts& least = *std::ranges::min_element(ranks, {}, &RankFacts::memory);
  return {Verdict::kPass, "memory",
          fmt::format("{} on {}, {}", bytes_text(static_cast<double>(least.memory)),
                      least.host.get(), least.memory_source.get()),
          ""};
}

Finding judge_files(Ranks ranks, const std::string& folder) {
  const RankFacts& first = ranks.front();
  for (const RankFacts& r : ranks) {
    if (r.files.error != 0)
      return {
          Verdict::kFail, "files",
          fmt::format("{} cannot {} in {}: {}", where(r), r.files.write_failed ? "write" : "read",
                      folder, std::strerror(r.files.error)),
          "--folder names another one; give it the space and the rights"};
    if (!r.files.sees_others)
      return {
          Verdict::kFail, "files",
          fmt::format("{} does not see in {} what {} writes there", where(r), folder, where(first)),
          "data and checkpoints belong where all nodes see them; --folder names such a place"};
  }
  double write = 0, read = 0, sync = 0;
  for (const RankFacts& r : ranks) {
    write += r.files.write;
    read += r.files.read;
    sync = std::max(sync, r.files.sync);
  }
  Finding f{Verdict::kPass, "files",
            fmt::format("{} in {}: {} written and {} read by all ranks together, fsync {}, {} free",
                        first.files.kind.get(), folder, per_second(write), per_second(read),
                        seconds_text(sync), bytes_text(static_cast<double>(first.files.free))),
            ""};
  constexpr double kSlow = 20e6, kFull = 1 << 30;
  if (write < kSlow) {
    f.verdict = Verdict::kWarn;
    f.remedy = "a faster file system for checkpoints (scratch instead of home)";
  } else if (static_cast<double>(first.files.free) < kFull) {
    f.verdict = Verdict::kWarn;
    f.remedy =
        "free some space: checkpoints need three numbers a parameter each, checkpoint.keep times";
  }
  return f;
}

Finding judge_data(Ranks ranks, const std::string& path) {
  if (path.empty()) return {};
  for (const RankFacts& r : ranks) {
    if (r.data_error == 0) continue;
    return {Verdict::kFail, "data",
            fmt::format("{} cannot read {}: {}", where(r), path, std::strerror(r.data_error)),
            "a path that all nodes see; relative paths begin where the launcher starts the ranks"};
  }
  return {Verdict::kPass, "data", fmt::format("{} can be read by all ranks", path), ""};
}

Finding judge_filters(Ranks ranks, const std::vector<std::string>& names,
                      const std::string& hdf5_version) {
  const RankFacts& first = ranks.front();
  std::vector<std::string> there, absent;
  for (std::size_t i = 0; i < names.size(); ++i)
    (first.filters >> i & 1 ? there : absent).push_back(names[i]);
  Finding f{Verdict::kPass, "HDF5",
            fmt::format("{}, reads {}", hdf5_version, fmt::join(there, ", ")), ""};
  if (!absent.empty()) f.text += fmt::format("; not {}", fmt::join(absent, ", "));
  for (const RankFacts& r : ranks) {
    if (r.filters == first.filters) continue;
    f.verdict = Verdict::kFail;
    f.text += fmt::format("; {} has other filters than {}", where(r), where(first));
    f.remedy = "the same HDF5_PLUGIN_PATH and plugins on every node";
    return f;
  }
  if ((first.filters & 1) == 0) {
    f.verdict = Verdict::kWarn;
    f.remedy = "an HDF5 with zlib";
  }
  return f;
}

Finding judge_gpus(Ranks ranks, bool wanted) {
  Finding f{Verdict::kPass, "CUDA", "", ""};
  const RankFacts& first = ranks.front();
  for (const RankFacts& r : ranks) {
    if (r.gpus.devices > 0) continue;
    f.verdict = wanted ? Verdict::kFail : Verdict::kPass;
    f.text = fmt::format("{}: {}", where(r), r.gpus.problem.get());
    if (wanted)
      f.remedy =
          "nvidia-smi and CUDA_VISIBLE_DEVICES there; Slurm: --gpus-per-task=1; or run.device = "
          "\"cpu\"";
    return f;
  }
  f.text = fmt::format("{} on {}", first.gpus.names.get(), first.host.get());
  for (const RankFacts& r : ranks) {
    if (r.gpus.devices != first.gpus.devices || r.gpus.names.get() != first.gpus.names.get()) {
      f.verdict = Verdict::kWarn;
      f.text += fmt::format("; but {} on {}", r.gpus.names.get(), r.host.get());
      f.remedy = "nodes of one kind, and the same number of devices for each task";
      return f;
    }
    if (r.gpus.pairs_without_peers > 0) {
      f.verdict = Verdict::kWarn;
      f.text += fmt::format("; {} pairs of them cannot read each other's memory on {}",
                            r.gpus.pairs_without_peers, r.host.get());
      f.remedy =
          "nvidia-smi topo -p2p r; containers need --ipc=host: else sums go through the host";
      return f;
    }
  }
  return f;
}

}  // namespace lockstep::doctor
