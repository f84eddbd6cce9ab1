// The small message that ends a step: every lane's record to every rank. This form is for
// several nodes, by one MPI_Iallgatherv. Knows nothing of what a record means.
#pragma once
#include <mpi.h>

#include <cstdint>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/node_store.h"
#include "pages.h"

namespace lockstep::comm {

class RecordMessages {
 public:
  RecordMessages(MPI_Comm communicator, const Topology& topology,
                 const std::vector<LaneRange>& lanes, std::size_t record_bytes);
  ~RecordMessages();
  RecordMessages(const RecordMessages&) = delete;
  RecordMessages& operator=(const RecordMessages&) = delete;

  std::byte* record(std::int64_t lane) const { return all_.data() + lane * record_bytes_; }
  void start();  // this rank's records are in place
  bool test();
  std::int64_t bytes_per_step() const { return bytes_per_step_; }

 private:
  MPI_Comm communicator_;
  std::size_t record_bytes_;
  Pages all_;
  std::vector<int> counts_, displacements_;  // by rank, in records
  MPI_Datatype record_type_ = MPI_DATATYPE_NULL;
  MPI_Request request_ = MPI_REQUEST_NULL;
  std::int64_t bytes_per_step_ = 0;
};

}  // namespace lockstep::comm
