#include "lockstep/comm/communicator.h"

#include <unistd.h>

#include <cstdio>

#include "environment.h"
#include "mpi_call.h"
#include "mpi_communicator.h"
#include "self_communicator.h"

namespace lockstep::comm {

std::unique_ptr<Communicator> make_communicator(const CommOptions& options) {
  if (!launched_by_mpi()) {
    if (!options.pretend_nodes.empty()) parse_pretended_nodes(options.pretend_nodes, 1);
    return std::make_unique<SelfCommunicator>();
  }
  check_process_manager();
  start_mpi(options.watchdog_seconds);
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  check_size(size);
  return std::make_unique<MpiCommunicator>(options);
}

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>();
}

void abort_all(int exit_code) {
  std::fflush(nullptr);
  if (mpi_runs()) MPI_Abort(MPI_COMM_WORLD, exit_code);
  ::_exit(exit_code);
}

std::string broadcast_text(Communicator& c, std::string text, int root_rank) {
  auto size = static_cast<std::int64_t>(text.size());
  broadcast_value(c, size, root_rank);
  text.resize(size);
  c.broadcast(std::as_writable_bytes(std::span(text)), root_rank);
  return text;
}

}  // namespace lockstep::comm
