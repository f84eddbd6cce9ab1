#include <fmt/format.h>

#include <algorithm>

#include "bench/comm_parts.h"
#include "bench/rank_device.h"
#include "lockstep/comm/collectives.h"
#include "lockstep/core/error.h"
#include "lockstep/core/units.h"

namespace lockstep::bench {
namespace {

const std::vector<std::string> kGroups{"latency",        "bandwidth", "bidirectional", "allreduce",
                                       "reduce-scatter", "allgather", "broadcast"};
constexpr Talk kTalks[] = {Talk::kPingPong, Talk::kOneWay, Talk::kBothWays};
constexpr Collective kCollectives[] = {Collective::kAllreduce, Collective::kReduceScatter,
                                       Collective::kAllgather, Collective::kBroadcast};
constexpr std::int64_t kLargestMessage = 4 << 20, kLargest = 64 << 20;  // bytes

// 8, 32, 128, ... and the largest.
std::vector<std::int64_t> sizes_up_to(std::int64_t largest) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t bytes = 8; bytes < largest; bytes *= 4) sizes.push_back(bytes);
  sizes.push_back(largest);
  return sizes;
}

std::string size_text(std::int64_t bytes) { return bytes_text(static_cast<double>(bytes)); }

void add_messages(comm::Communicator& communicator, const Request& request, Results& results) {
  for (std::size_t t = 0; t < std::size(kTalks); ++t) {
    for (const PairAt& pair : pairs_of(communicator.topology())) {
      for (const std::int64_t bytes : sizes_up_to(kLargestMessage)) {
        if (!wanted(request.only, kGroups[t], size_text(bytes))) continue;
        results.rows.push_back(
            measure_messages(communicator, pair, kTalks[t], bytes, request.seconds));
        results.rows.back().group = kGroups[t];
      }
    }
  }
}

// The best that went from one rank to another in this run, in bytes/s: what a bus bandwidth can
// be compared with. 0: no such row.
double best_link(const std::vector<Row>& rows) {
  double best = 0;
  for (const Row& row : rows)
    if (row.group == "bandwidth") best = std::max(best, row.figures.back().value);
  return best;
}

void add_collectives(comm::Communicator& communicator, const Request& request, Results& results) {
  const double link = best_link(results.rows);
  for (std::size_t c = 0; c < std::size(kCollectives); ++c) {
    const std::string& group = kGroups[std::size(kTalks) + c];
    const double factor = bus_factor(kCollectives[c], communicator.size());
    for (const std::int64_t bytes : sizes_up_to(kLargest)) {
      if (!wanted(request.only, group, size_text(bytes))) continue;
      for (const Way& way : ways_of(communicator, kCollectives[c], bytes)) {
        Row row;
        row.group = group;
        row.name = fmt::format("{} {}", size_text(way.bytes), way.name);
        row.verified = agreed(communicator, way.check());
        row.time =
            measure(communicator, way.run, {.seconds = request.seconds, .together = true});
        const double rate = static_cast<double>(way.bytes) / row.time.median;
        row.figures = {{"algorithm bandwidth", "B/s", rate},
                       {"bus bandwidth", "B/s", rate * factor}};
        if (link > 0) row.of_ceiling = rate * factor / link;
        results.rows.push_back(std::move(row));
      }
    }
  }
}

}  // namespace

Results bench_comm(comm::Communicator& communicator, const Request& request) {
  if (communicator.size() == 1)
    throw UserError("bench comm measures what lies between ranks: start it with mpirun -n 2 or more");
  if (request.device != "cpu")
    throw UserError("bench comm sums in the host's memory: leave --device out");
  require_some(request.only, kGroups);
  Results results;
  results.title = "lockstep bench comm";
  results.facts = machine_facts(communicator, cpu_device());
  results.facts.emplace_back("MPI", comm::mpi_library(communicator));
  add_messages(communicator, request, results);
  add_collectives(communicator, request, results);
  const int ranks = communicator.size();
  results.notes = {
      "Every row was verified first: messages byte by byte, sums of whole numbers exactly, on all "
      "ranks. The slowest rank's time counts; spread is the quartiles' distance.",
      "latency (OSU osu_latency): half of the time there and back of one message.",
      fmt::format("bandwidth (osu_bw), bidirectional (osu_bibw): as many messages as make {}, at "
                  "most 64, then one reply; bytes of both directions together in the latter.",
                  bytes_text(16 << 20)),
      fmt::format("algorithm bandwidth (nccl-tests): bytes / time. bus bandwidth = that * 2 (n-1)/n "
                  "of allreduce, (n-1)/n of reduce-scatter and allgather, 1 of broadcast; n = {}.",
                  ranks),
      "fold: this program's sum, the same bits on any number of ranks, from complete gradients to "
      "sums that can be read, sums of squares included; reduce = \"mpi\": parallel.reduce, "
      "MPI_Iallreduce by bucket; MPI_I...: one call of MPI's own.",
      "ceiling: bus bandwidth by the best bandwidth between two ranks in this run; ranks that read "
      "each other's memory can go beyond it."};
  return results;
}

}  // namespace lockstep::bench
