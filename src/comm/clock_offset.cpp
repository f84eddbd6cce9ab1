#include "lockstep/comm/clock_offset.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "mpi_call.h"
#include "mpi_communicator.h"

namespace lockstep::comm {
namespace {

constexpr int kTag = 0, kRounds = 20;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class Clocks {
 public:
  Clocks(MpiCommunicator& communicator, MPI_Comm messages)
      : communicator_(communicator), messages_(messages) {}

  // What rank 0 says its clock shows, against the middle of the way there and back.
  ClockOffset ask() {
    ClockOffset best{0, std::numeric_limits<std::int64_t>::max()};
    for (int round = 0; round < kRounds; ++round) {
      const std::int64_t sent = now_ns();
      send(0, 0);
      const std::int64_t there = receive(0);
      const std::int64_t back = now_ns(), half = (back - sent) / 2;
      if (half < best.error) best = {there - (sent + half), half};
    }
    return best;
  }
  void answer(int rank) {
    for (int round = 0; round < kRounds; ++round) {
      receive(rank);
      send(rank, now_ns());
    }
  }

 private:
  void send(int to, std::int64_t value) {
    MPI_Request request;
    check_mpi(MPI_Isend(&value, 1, MPI_INT64_T, to, kTag, messages_, &request), "MPI_Isend");
    communicator_.complete(request, kWhat);
  }
  std::int64_t receive(int from) {
    std::int64_t value = 0;
    MPI_Request request;
    check_mpi(MPI_Irecv(&value, 1, MPI_INT64_T, from, kTag, messages_, &request), "MPI_Irecv");
    communicator_.complete(request, kWhat);
    return value;
  }

  static constexpr const char* kWhat = "a message that compares clocks";
  MpiCommunicator& communicator_;
  MPI_Comm messages_;
};

}  // namespace

ClockOffset measure_clock(Communicator& communicator) {
  auto* const mpi = dynamic_cast<MpiCommunicator*>(&communicator);
  if (mpi == nullptr || mpi->size() == 1) return {};
  const std::vector<std::string>& hosts = mpi->hosts();
  const int me = mpi->rank();
  const auto first_of = [&](int rank) {
    return static_cast<int>(std::find(hosts.begin(), hosts.end(), hosts[rank]) - hosts.begin());
  };
  MPI_Comm messages = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(mpi->world(), &messages), "MPI_Comm_dup");
  Clocks clocks(*mpi, messages);
  ClockOffset mine;
  if (me == 0) {
    for (int rank = 1; rank < mpi->size(); ++rank)
      if (first_of(rank) == rank) clocks.answer(rank);
  } else if (first_of(me) == me) {
    mine = clocks.ask();
  }
  MPI_Comm_free(&messages);
  // A host has one clock: its first rank's finding is everybody's.
  const std::vector<std::byte> bytes = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  const Topology& topology = communicator.topology();
  const auto position = std::find(topology.rank_at.begin(), topology.rank_at.end(), first_of(me)) -
                        topology.rank_at.begin();
  std::memcpy(&mine, bytes.data() + static_cast<std::size_t>(position) * sizeof mine, sizeof mine);
  return mine;
}

}  // namespace lockstep::comm
