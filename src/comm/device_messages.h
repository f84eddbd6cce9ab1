// Whether MPI takes device memory as it is. It is believed only if it says so and a small message
// of each kind that the fold sends has arrived.
#pragma once
#include <mpi.h>

#include "device_windows.h"

namespace lockstep::comm {

// What this MPI says of itself; false where it cannot be asked.
bool mpi_claims_device_memory();
// For tests, in place of MPI's word. -1: MPI's own.
void set_device_memory_claim(int claim);

// Collective. Messages from this rank's window and, mapped, from those of its peers, into memory of
// the next rank's device. True on all ranks, or on none. Windows are empty before and after.
bool device_messages_arrive(Communicator& communicator, MPI_Comm messages, const Topology& topology,
                            const DeviceWindows& windows);

}  // namespace lockstep::comm
