#include "lockstep/comm/collectives.h"

#include <mpi.h>

#include <algorithm>
#include <exception>

#include "lockstep/core/error.h"
#include "mpi_call.h"
#include "mpi_communicator.h"

namespace lockstep::comm {
namespace {

class MpiCollectives final : public Collectives {
 public:
  explicit MpiCollectives(MpiCommunicator& communicator) : communicator_(communicator) {
    check_mpi(MPI_Comm_dup(communicator.world(), &messages_), "MPI_Comm_dup");
  }
  ~MpiCollectives() override {
    if (std::uncaught_exceptions() > 0) return;
    MPI_Comm_free(&messages_);
  }

  void allreduce(std::span<const float> from, std::span<float> to) override {
    const Presence presence(communicator_.progress_thread());
    MPI_Request request;
    check_mpi(MPI_Iallreduce(from.data(), to.data(), count(from.size()), MPI_FLOAT, MPI_SUM,
                             messages_, &request),
              "MPI_Iallreduce");
    communicator_.complete(request, "MPI_Iallreduce");
  }
  void reduce_scatter(std::span<const float> from, std::span<float> to) override {
    const Presence presence(communicator_.progress_thread());
    MPI_Request request;
    check_mpi(MPI_Ireduce_scatter_block(from.data(), to.data(), count(to.size()), MPI_FLOAT,
                                        MPI_SUM, messages_, &request),
              "MPI_Ireduce_scatter_block");
    communicator_.complete(request, "MPI_Ireduce_scatter_block");
  }
  void allgather(std::span<const float> from, std::span<float> to) override {
    const Presence presence(communicator_.progress_thread());
    MPI_Request request;
    check_mpi(MPI_Iallgather(from.data(), count(from.size()), MPI_FLOAT, to.data(),
                             count(from.size()), MPI_FLOAT, messages_, &request),
              "MPI_Iallgather");
    communicator_.complete(request, "MPI_Iallgather");
  }
  void broadcast(std::span<float> values, int root_rank) override {
    const Presence presence(communicator_.progress_thread());
    MPI_Request request;
    check_mpi(MPI_Ibcast(values.data(), count(values.size()), MPI_FLOAT, root_rank, messages_,
                         &request),
              "MPI_Ibcast");
    communicator_.complete(request, "MPI_Ibcast");
  }

 private:
  static int count(std::size_t n) {
    LOCKSTEP_CHECK(static_cast<std::int64_t>(n) <= message_limit(), "{} floats in one call", n);
    return static_cast<int>(n);
  }

  MpiCommunicator& communicator_;
  MPI_Comm messages_ = MPI_COMM_NULL;
};

class SelfCollectives final : public Collectives {
 public:
  void allreduce(std::span<const float> from, std::span<float> to) override {
    std::ranges::copy(from, to.begin());
  }
  void reduce_scatter(std::span<const float> from, std::span<float> to) override {
    std::ranges::copy(from, to.begin());
  }
  void allgather(std::span<const float> from, std::span<float> to) override {
    std::ranges::copy(from, to.begin());
  }
  void broadcast(std::span<float>, int) override {}
};

}  // namespace

std::unique_ptr<Collectives> make_collectives(Communicator& communicator) {
  if (auto* mpi = dynamic_cast<MpiCommunicator*>(&communicator))
    return std::make_unique<MpiCollectives>(*mpi);
  return std::make_unique<SelfCollectives>();
}

std::string mpi_library(Communicator& communicator) {
  if (dynamic_cast<MpiCommunicator*>(&communicator) == nullptr) return {};
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string version(text);
  return version.substr(0, version.find_first_of(",\n"));
}

}  // namespace lockstep::comm
