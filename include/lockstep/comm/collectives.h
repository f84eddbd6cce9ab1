// MPI's own collectives over floats, as its library does them: what this program's are measured
// against. No part of a run, whose sums are the fold's.
#pragma once
#include <memory>
#include <span>

#include "lockstep/comm/communicator.h"

namespace lockstep::comm {

// For the thread that made the communicator alone; every call is collective and blocks, under the
// watchdog. n floats of each rank; counts fit an int.
class Collectives {
 public:
  virtual ~Collectives() = default;
  // to [n] = the sum of all ranks' from [n].
  virtual void allreduce(std::span<const float> from, std::span<float> to) = 0;
  // to [n / ranks] = this rank's part of the sum, by rank; ranks divide n.
  virtual void reduce_scatter(std::span<const float> from, std::span<float> to) = 0;
  // to [n]: from [n / ranks] of each rank, by rank.
  virtual void allgather(std::span<const float> from, std::span<float> to) = 0;
  virtual void broadcast(std::span<float> values, int root_rank) = 0;
};

std::unique_ptr<Collectives> make_collectives(Communicator& communicator);
// "Open MPI v4.1.4, ..."; "" where no MPI runs.
std::string mpi_library(Communicator& communicator);

}  // namespace lockstep::comm
