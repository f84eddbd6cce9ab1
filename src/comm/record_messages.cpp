#include "record_messages.h"

#include "mpi_call.h"

namespace lockstep::comm {

RecordMessages::RecordMessages(MPI_Comm communicator, const Topology& topology,
                               const std::vector<LaneRange>& lanes, std::size_t record_bytes)
    : communicator_(communicator),
      record_bytes_(record_bytes),
      all_(static_cast<std::size_t>(lanes.back().end) * record_bytes),
      counts_(topology.ranks()),
      displacements_(topology.ranks()) {
  for (int position = 0; position < topology.ranks(); ++position) {
    const int rank = topology.rank_at[position];
    counts_[rank] = static_cast<int>(lanes[position].size());
    displacements_[rank] = static_cast<int>(lanes[position].begin);
  }
  check_mpi(MPI_Type_contiguous(static_cast<int>(record_bytes), MPI_BYTE, &record_type_),
            "MPI_Type_contiguous");
  check_mpi(MPI_Type_commit(&record_type_), "MPI_Type_commit");
  bytes_per_step_ = lanes[topology.position].size() * static_cast<std::int64_t>(record_bytes) *
                    (topology.ranks() - topology.local_ranks());
}

RecordMessages::~RecordMessages() { MPI_Type_free(&record_type_); }

void RecordMessages::start() {
  if (record_bytes_ == 0) return;
  check_mpi(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all_.data(), counts_.data(),
                            displacements_.data(), record_type_, communicator_, &request_),
            "MPI_Iallgatherv");
}

bool RecordMessages::test() {
  int done = 0;
  check_mpi(MPI_Test(&request_, &done, MPI_STATUS_IGNORE), "MPI_Test");
  return done != 0;
}

}  // namespace lockstep::comm
