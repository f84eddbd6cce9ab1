// MPI's return codes as exceptions, its one initialisation, and counts that fit an int.
#pragma once
#include <mpi.h>

#include <cstdint>
#include <vector>

namespace lockstep::comm {

// Throws Error(kBug) with MPI's own words if `code` is not MPI_SUCCESS.
void check_mpi(int code, const char* call);

// Initialises MPI once, finalised when the process exits. Threads may call it in turn (serialized)
// if MPI has that, or else this one only (funneled).
void start_mpi(double seconds);  // MPI's own start and end may take as long, each
bool threads_may_take_turns();
bool mpi_runs();

// The largest count of one MPI call: INT_MAX, or less in tests, so that splitting is tested.
std::int64_t message_limit();
void set_message_limit(std::int64_t count);

struct Chunk {
  std::int64_t begin = 0;
  int count = 0;
};
// [0, count) in pieces of at most message_limit().
std::vector<Chunk> chunks(std::int64_t count);

}  // namespace lockstep::comm
