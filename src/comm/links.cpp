#include "lockstep/comm/links.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "mpi_call.h"
#include "mpi_communicator.h"

namespace lockstep::comm {
namespace {

constexpr int kTag = 0;
constexpr int kSmall = 8, kLarge = 512 << 10;  // bytes of a message
// A kind of message is sent until both are reached: enough for a median, and an end where ranks
// share cores.
constexpr int kLeastRounds = 5, kMostRounds = 64;
constexpr double kSeconds = 1e-3;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Pair {
  int peer = -1;      // rank
  bool asks = false;  // the other one answers
};

// A place and its neighbour in the same node; the last of an odd number has none.
Pair pair_in_node(const Topology& topology, int turn) {
  const int local = topology.local(), first = topology.node_begin[topology.node()];
  const bool asks = local % 2 == turn;
  const int other = asks ? local + 1 : local - 1;
  if (other < 0 || other >= topology.local_ranks()) return {};
  return {topology.rank_at[first + other], asks};
}

// The rank with the same place on the next node (asks) or on the one before. In a turn every other
// gap between nodes is measured, so that a rank talks to one peer at a time.
Pair pair_between_nodes(const Topology& topology, int turn) {
  const int node = topology.node(), local = topology.local();
  const bool asks = node % 2 == turn;
  const int other = asks ? node + 1 : node - 1;
  if (other < 0 || other >= topology.nodes()) return {};
  const int first = topology.node_begin[other];
  if (local >= topology.node_begin[other + 1] - first) return {};
  return {topology.rank_at[first + local], asks};
}

class PingPong {
 public:
  PingPong(MpiCommunicator& communicator, MPI_Comm messages, int peer)
      : communicator_(communicator), messages_(messages), peer_(peer), buffer_(kLarge) {}

  // Seconds there and back, the median.
  double ask(int bytes) {
    std::vector<double> seconds;
    const double start = seconds_now();
    for (bool last = false; !last;) {
      const auto rounds = static_cast<int>(seconds.size()) + 1;
      last = rounds >= kMostRounds || (rounds >= kLeastRounds && seconds_now() - start > kSeconds);
      buffer_[0] = std::byte{last};
      const double sent = seconds_now();
      send(bytes);
      receive(bytes);
      seconds.push_back(seconds_now() - sent);
    }
    return median(seconds);
  }
  void answer(int bytes) {
    do {
      receive(bytes);
      send(bytes);
    } while (buffer_[0] == std::byte{0});
  }

 private:
  void send(int bytes) {
    MPI_Request request;
    check_mpi(MPI_Isend(buffer_.data(), bytes, MPI_BYTE, peer_, kTag, messages_, &request),
              "MPI_Isend");
    communicator_.complete(request, kWhat);
  }
  void receive(int bytes) {
    MPI_Request request;
    check_mpi(MPI_Irecv(buffer_.data(), bytes, MPI_BYTE, peer_, kTag, messages_, &request),
              "MPI_Irecv");
    communicator_.complete(request, kWhat);
  }

  static constexpr const char* kWhat = "a message that measures the network";
  MpiCommunicator& communicator_;
  MPI_Comm messages_;
  int peer_;
  std::vector<std::byte> buffer_;
};

// What a pair of ranks saw, by the one that asked.
struct Seen {
  int node = -1;  // -1: nothing
  int rank = -1, peer = -1;
  double latency = 0, bandwidth = 0;
};

Seen measure_pair(MpiCommunicator& communicator, MPI_Comm messages, const Pair& pair) {
  PingPong messenger(communicator, messages, pair.peer);
  if (!pair.asks) {
    for (const int bytes : {kSmall, kLarge}) messenger.answer(bytes);
    return {};
  }
  const double small = messenger.ask(kSmall) / 2, large = messenger.ask(kLarge) / 2;
  // Where noise drowns the difference the whole time counts, which claims too little.
  const double in_flight = large > 2 * small ? large - small : large;
  return {communicator.topology().node(), communicator.rank(), pair.peer, small,
          kLarge / in_flight};
}

// The pairs of a gap between nodes share what goes through it.
Links summarised(const std::vector<Seen>& seen, int nodes) {
  std::vector<double> latencies, bandwidths(static_cast<std::size_t>(nodes) - 1);
  for (const Seen& pair : seen) {
    if (pair.node < 0) continue;
    latencies.push_back(pair.latency);
    bandwidths[static_cast<std::size_t>(pair.node)] += pair.bandwidth;
  }
  return {median(latencies), median(bandwidths)};
}

// What every asking rank has seen, in two turns.
std::vector<Seen> survey(Communicator& communicator, Pair (*pair_of)(const Topology&, int turn)) {
  auto& mpi = dynamic_cast<MpiCommunicator&>(communicator);
  MPI_Comm messages = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(mpi.world(), &messages), "MPI_Comm_dup");
  std::vector<Seen> mine(2);
  for (int turn = 0; turn < 2; ++turn) {
    communicator.barrier();
    const Pair pair = pair_of(communicator.topology(), turn);
    if (pair.peer >= 0) mine[turn] = measure_pair(mpi, messages, pair);
  }
  const std::vector<std::byte> bytes = communicator.gather_all(std::as_bytes(std::span(mine)));
  MPI_Comm_free(&messages);
  std::vector<Seen> all(bytes.size() / sizeof(Seen));
  std::memcpy(all.data(), bytes.data(), bytes.size());
  return all;
}

}  // namespace

Links measure_links(Communicator& communicator) {
  const int nodes = communicator.topology().nodes();
  if (nodes == 1) return {};
  Links links = summarised(survey(communicator, pair_between_nodes), nodes);
  broadcast_value(communicator, links);
  return links;
}

PairLinks measure_pairs(Communicator& communicator, PairsOf which) {
  if (communicator.size() == 1) return {};
  std::vector<double> latencies, bandwidths;
  PairLinks links;
  for (const Seen& pair :
       survey(communicator, which == PairsOf::kNode ? pair_in_node : pair_between_nodes)) {
    if (pair.node < 0) continue;
    latencies.push_back(pair.latency);
    bandwidths.push_back(pair.bandwidth);
    links.worst.latency = std::max(links.worst.latency, pair.latency);
    if (links.slow_rank >= 0 && pair.bandwidth >= links.worst.bandwidth) continue;
    links.worst.bandwidth = pair.bandwidth;
    links.slow_rank = pair.rank;
    links.slow_peer = pair.peer;
  }
  if (!latencies.empty()) links.median = {median(latencies), median(bandwidths)};
  broadcast_value(communicator, links);
  return links;
}

}  // namespace lockstep::comm
