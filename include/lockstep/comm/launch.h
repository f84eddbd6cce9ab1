// How this program was started and by what MPI, as facts for a report.
#pragma once
#include <string>

namespace lockstep::comm {

struct Launch {
  std::string library;  // "Open MPI v4.1.4"; empty without MPI
  bool turns = true;    // threads may call MPI in turn (MPI_THREAD_SERIALIZED)
  bool by_srun = false, by_mpirun = false;
};
Launch launch();  // after make_communicator()

}  // namespace lockstep::comm
