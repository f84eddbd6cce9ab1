#include "plan/memory.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <memory>
#include <numeric>

#include "lockstep/core/error.h"
#include "lockstep/core/memory.h"
#include "train/planned_ledger.h"
#include "train/precision.h"

namespace lockstep::plan {
namespace {

using Rows = std::vector<nn::LedgerRow>;

// Resident bytes of this program that are its own: not of files, or written to.
std::uint64_t own_bytes() {
  std::uint64_t bytes = 0;
  std::ifstream maps("/proc/self/smaps");
  bool is_file = false;
  for (std::string line; std::getline(maps, line);) {
    const std::size_t colon = line.find(':');
    const bool is_value = colon != std::string::npos && std::isupper(line.front()) != 0;
    if (!is_value) {
      is_file = line.find(" /") != std::string::npos;
      continue;
    }
    if (line.substr(0, colon) == (is_file ? "Anonymous" : "Rss"))
      bytes += 1024 * std::stoull(line.substr(colon + 1));
  }
  return bytes;
}

// What MPI takes of a process besides, and what of its files is shared: Open MPI 4.1, by PSS on 1, 2,
// 4 and 8 ranks.
constexpr std::uint64_t kMpi = std::uint64_t{3} << 20, kMpiFiles = std::uint64_t{4} << 20;

// Before anything is made, as this process is now; the ranks of a node share its files.
std::uint64_t program_bytes(const Layout& layout) {
  static const std::uint64_t own = own_bytes();
  static const std::uint64_t all = std::max(own, proportional_memory());
  const auto sharers = static_cast<std::uint64_t>(std::min(layout.ranks, layout.ranks_per_node));
  if (layout.ranks == 1) return all;
  return own + kMpi + (all - own + kMpiFiles) / sharers;
}

std::uint64_t total(const Rows& rows) {
  return std::accumulate(rows.begin(), rows.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const nn::LedgerRow& row) { return sum + row.bytes; });
}

// Positions among which is the one that needs most: all of few; of many those with the most lanes,
// at the ends and in the middle, as what lies between them differs by less than a block.
std::vector<int> candidates(const Layout& layout, const parallel::Options& options) {
  constexpr std::int64_t kFew = 8;
  std::vector<int> positions(static_cast<std::size_t>(std::min(layout.ranks, kFew)));
  std::iota(positions.begin(), positions.end(), 0);
  if (layout.ranks <= kFew) return positions;
  const auto lanes = parallel::planned_lanes(topology_of(layout), options);
  const auto most = *std::max_element(lanes.begin(), lanes.end());
  const auto first = std::find(lanes.begin(), lanes.end(), most) - lanes.begin();
  const auto last = lanes.rend() - std::find(lanes.rbegin(), lanes.rend(), most) - 1;
  positions = {static_cast<int>(first), static_cast<int>((first + last) / 2),
               static_cast<int>(last)};
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  return positions;
}

// A run, and all that its ledger follows from.
struct Planned {
  Planned(const train::Run& run_, const data::Manifest& manifest_)
      : run(run_),
        manifest(manifest_),
        task(train::make_task(run, manifest, run.data.train)),
        ledger(run, manifest, task,
               run.run.device == "cpu" ? train::precision_in_force(run, cpu_device())
                                       : run.train.precision) {}

  const train::Run run;
  const data::Manifest manifest;
  const train::Task task;
  const train::LedgerPlan ledger;
};

}  // namespace

std::function<Rows(const Layout&, const parallel::Options&)> memory_of(
    const train::Run& run, const data::Manifest& manifest) {
  const auto planned = std::make_shared<const Planned>(run, manifest);
  return [planned](const Layout& layout, const parallel::Options& options) {
    if (!parallel::has_plan(options.kind))
      throw UserError(
          "the memory of parallel.strategy = \"{}\" is not planned; start the run with --check, "
          "which prints its ledger",
          name_of(options.kind));
    const std::uint64_t before = program_bytes(layout);
    Rows fullest;
    for (const int position : candidates(layout, options)) {
      Rows rows = planned->ledger.rows(topology_of(layout, position), options, before);
      if (fullest.empty() || total(rows) > total(fullest)) fullest = std::move(rows);
    }
    return fullest;
  };
}

}  // namespace lockstep::plan
