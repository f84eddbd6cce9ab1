#include "lockstep/comm/launch.h"

#include <mpi.h>

#include <algorithm>
#include <cstdlib>

#include "environment.h"
#include "mpi_call.h"

namespace lockstep::comm {

Launch launch() {
  Launch facts;
  facts.by_mpirun = std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr;  // srun does not set it
  facts.by_srun = !facts.by_mpirun && under_srun();
  if (!mpi_runs()) return facts;
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  check_mpi(MPI_Get_library_version(text, &length), "MPI_Get_library_version");
  facts.library.assign(text, static_cast<std::size_t>(length));
  // "Open MPI v4.1.4, package: ..., ident: ...": what comes first names it.
  facts.library.erase(std::min(facts.library.find_first_of(",\n"), facts.library.size()));
  facts.turns = threads_may_take_turns();
  return facts;
}

}  // namespace lockstep::comm
