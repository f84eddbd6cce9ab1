#include "lockstep/comm/links.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "link_pairs.h"
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
    return median_of(seconds);
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

Seen measure_pair(MpiCommunicator& communicator, MPI_Comm messages, const LinkPair& pair) {
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
  return {median_of(latencies), median_of(bandwidths)};
}

// What every asking rank has seen, in two turns.
std::vector<Seen> survey(Communicator& communicator, PairsOf which) {
  auto& mpi = dynamic_cast<MpiCommunicator&>(communicator);
  MPI_Comm messages = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(mpi.world(), &messages), "MPI_Comm_dup");
  std::vector<Seen> mine(2);
  for (int turn = 0; turn < 2; ++turn) {
    communicator.barrier();
    const LinkPair pair = link_pair(communicator.topology(), which, turn);
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
  Links links = summarised(survey(communicator, PairsOf::kNeighbouringNodes), nodes);
  broadcast_value(communicator, links);
  return links;
}

PairLinks measure_pairs(Communicator& communicator, PairsOf which) {
  if (communicator.size() == 1) return {};
  std::vector<double> latencies, bandwidths;
  PairLinks links;
  for (const Seen& pair : survey(communicator, which)) {
    if (pair.node < 0) continue;
    latencies.push_back(pair.latency);
    bandwidths.push_back(pair.bandwidth);
    links.worst.latency = std::max(links.worst.latency, pair.latency);
    if (links.slow_rank >= 0 && pair.bandwidth >= links.worst.bandwidth) continue;
    links.worst.bandwidth = pair.bandwidth;
    links.slow_rank = pair.rank;
    links.slow_peer = pair.peer;
  }
  if (!latencies.empty()) links.median = {median_of(latencies), median_of(bandwidths)};
  broadcast_value(communicator, links);
  return links;
}

}  // namespace lockstep::comm
