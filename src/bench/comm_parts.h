// Messages and collectives to verify and to time. Knows no model.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/bench/bench.h"

namespace lockstep::bench {

// A pair of positions that talk, the others wait.
struct PairAt {
  std::string level;  // "node", "network"
  int asks = 0, answers = 0;
};
std::vector<PairAt> pairs_of(const comm::Topology& topology);

enum class Talk : std::uint8_t { kPingPong, kOneWay, kBothWays };
// A window has as many messages as make 16 MiB, at most 64, at least one (OSU: always 64).
std::int64_t messages_of_window(std::int64_t bytes);
// Collective. figures: "latency" of kPingPong, half of its time; else "bandwidth".
Row measure_messages(comm::Communicator& communicator, const PairAt& pair, Talk talk,
                     std::int64_t bytes, double seconds);

enum class Collective : std::uint8_t { kAllreduce, kReduceScatter, kAllgather, kBroadcast };
// What nccl-tests multiplies the algorithm bandwidth by, so that it compares with a link's
// whatever the number of ranks (its doc/PERFORMANCE.md).
double bus_factor(Collective kind, int ranks);

// A way to do a collective on `bytes` of floats.
struct Way {
  Collective kind;
  std::string name;  // "fold", "MPI_Iallreduce"
  std::int64_t bytes = 0;
  std::function<void()> run;
  std::function<std::string()> check;  // runs it on numbers whose sums are exact
};
// Collective. Ways that are compared with each other; as many bytes as suit the ranks, about
// `bytes`.
std::vector<Way> ways_of(comm::Communicator& communicator, Collective kind, std::int64_t bytes);

}  // namespace lockstep::bench
